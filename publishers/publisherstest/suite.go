package publisherstest

import (
	"context"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/publishers"
)

// patience is how long anything may take before a test fails.
const patience = 2 * time.Minute

// Harness makes publishers for the suite. New and Closed are needed.
type Harness struct {
	// New makes a publisher that has kept nothing yet. It fails t when it cannot.
	// The suite closes it.
	New func(t *testing.T, o Options) Subject
	// Closed is what errors.Is finds in the error of a closed publisher.
	Closed error
	// Full is what errors.Is finds in the error of a publisher made with
	// Options.Refuse that is at its limit. Nil: it has no such option, and that
	// is not tested.
	Full error
	// NeverWaits says that a publisher at its limit always refuses, so that
	// waiting is not tested.
	NeverWaits bool
}

// Options says what kind of publisher a test needs.
type Options struct {
	// Small requires a limit that is reached within 1,000 events of 500 bytes
	// which are enqueued while the publisher is held.
	Small bool
	// Refuse requires an error at the limit, rather than waiting.
	Refuse bool
	// Held requires a publisher that cannot pass anything on before Release is
	// called: what it admits stays in it.
	Held bool
}

// Subject is one publisher under test.
type Subject struct {
	Publisher publishers.Publisher
	// Release ends Options.Held. Calling it again, or on a publisher that was not
	// held, does nothing.
	Release func()
	// Close ends the publisher, by the end of ctx at the latest. Calling it again
	// does nothing.
	Close func(ctx context.Context) error
	// Kept returns everything that the publisher has kept until now, on the
	// stream or on disk. Records of one key come in the order in which a reader
	// would get them. It is called while the publisher works and after Close.
	Kept func(ctx context.Context) ([]Record, error)
}

// Record is one event as it is kept.
type Record struct {
	PartitionKey string
	Data         []byte
}

// Run tests everything that the port promises.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*subject){
		"OneKeyKeepsItsOrder":                   oneKeyKeepsItsOrder,
		"ManyKeysAtOnceKeepTheirOrder":          manyKeysAtOnceKeepTheirOrder,
		"OneKeyFromManyGoroutines":              oneKeyFromManyGoroutines,
		"EncodedAndPlainEventsShareOneOrder":    encodedAndPlainEventsShareOneOrder,
		"BytesAreKeptAsTheyAre":                 bytesAreKeptAsTheyAre,
		"AcknowledgedIsKeptAlready":             acknowledgedIsKeptAlready,
		"EveryReceiptHasTheSameOutcome":         everyReceiptHasTheSameOutcome,
		"AnEndedContextDoesNotWithdrawTheEvent": anEndedContextDoesNotWithdrawTheEvent,
		"AnEndedContextLeavesADefiniteOutcome":  anEndedContextLeavesADefiniteOutcome,
		"PositionsGrowWithinAKey":               positionsGrowWithinAKey,
		"InvalidEventsAreRefused":               invalidEventsAreRefused,
		"FullWaits":                             fullWaits,
		"FullRefuses":                           fullRefuses,
		"CloseKeepsWhatWasEnqueued":             closeKeepsWhatWasEnqueued,
		"ClosedRefusesEvents":                   closedRefusesEvents,
		"CloseReleasesWaitingCallers":           closeReleasesWaitingCallers,
		"PublishingAndClosingRace":              publishingAndClosingRace,
	} {
		t.Run(name, func(t *testing.T) { test(&subject{T: t, harness: h}) })
	}
}
