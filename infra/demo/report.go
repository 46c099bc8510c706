package demo

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// Report is what was measured. Times are in milliseconds.
type Report struct {
	Requests                int64   `json:"requests"`
	FailedRequests          int64   `json:"failed_requests"`
	EventsPublished         int64   `json:"events_published"`     // distinct events on the stream
	EventsApplied           int64   `json:"events_applied"`       // of these, in effect in both read models
	EventsLost              int64   `json:"events_lost"`          // acknowledged writes without their effect in the stream or a read model
	OutOfOrder              int64   `json:"events_out_of_order"`  // users whose changes are not in the order of their writes
	EventsAppliedTwice      int64   `json:"events_applied_twice"` // effects in a read model that no event accounts for
	ReadYourWritesViolation int64   `json:"read_your_writes_violations"`
	DeadLetters             int64   `json:"dead_letters"` // kept for a record that was no event, one a consumer
	DeadLettersWanted       int64   `json:"dead_letters_wanted"`
	Documents               int64   `json:"documents"`  // copied to DynamoDB
	Compared                int64   `json:"compared"`   // by the verification
	Mismatches              int64   `json:"mismatches"` // found by it, or by the audit after the switch
	WriteHoldMS             float64 `json:"write_hold_ms"`
	P50MS                   float64 `json:"p50_ms"`
	P99MS                   float64 `json:"p99_ms"`
	LagP99MS                float64 `json:"lag_p99_ms"` // from an event's arrival on the stream to its handling

	Seed             uint64   `json:"seed"`
	Size             int      `json:"size"`
	Chaos            bool     `json:"chaos"`
	Redelivered      int64    `json:"events_redelivered"` // duplicates on the stream
	FaultsInjected   int64    `json:"faults_injected"`
	CommandsLost     int64    `json:"commands_lost"`     // of banyan-migrate to MongoDB
	CommandsLate     int64    `json:"commands_late"`     // their sender saw a broken connection
	CommandsRepeated int64    `json:"commands_repeated"` // they arrived once more, later
	LatestMS         float64  `json:"latest_ms"`         // the longest delay of these
	MigrateKills     int      `json:"migrate_kills"`
	ServiceKills     int      `json:"service_kills"`      // instances of services, each started anew
	ServicesRetried  int64    `json:"services_retried"`   // requests of the monolith to a service, at another instance
	ServicesUnknown  int64    `json:"services_unknown"`   // writes among them that had got no answer
	MigratePeakBytes int64    `json:"migrate_peak_bytes"` // resident memory of the migrating process
	MaxMS            float64  `json:"max_ms"`
	Seconds          float64  `json:"seconds"`
	Broken           []string `json:"broken"`            // invariants that did not hold, in words
	Details          []string `json:"details,omitempty"` // the first of what failed or differed

	checked bool
}

// writeHoldLimit is the longest that writes may be held by a switch. Under chaos, the process
// that holds them may be killed; then another waits for its turn, and moves on. So may an
// instance that has to acknowledge it, whose lease of two seconds runs out first.
const (
	writeHoldLimit      = time.Second
	writeHoldLimitChaos = 6 * time.Second
)

func (r *Report) holdLimit() time.Duration {
	if r.Chaos {
		return writeHoldLimitChaos
	}
	return writeHoldLimit
}

// checkInvariants lists what broke.
func (r *Report) checkInvariants() {
	r.checked = true
	check := func(ok bool, format string, args ...any) {
		if !ok {
			r.Broken = append(r.Broken, fmt.Sprintf(format, args...))
		}
	}
	check(r.Requests > 0, "no request was made")
	check(r.EventsPublished > 0, "no event was published")
	check(r.Documents > 0, "no document was migrated")
	check(r.FailedRequests == 0, "%d requests failed", r.FailedRequests)
	check(r.EventsLost == 0, "%d events were lost", r.EventsLost)
	check(r.EventsAppliedTwice == 0, "%d effects in a read model come from no event", r.EventsAppliedTwice)
	check(r.DeadLetters == r.DeadLettersWanted, "%d dead letters, want %d", r.DeadLetters, r.DeadLettersWanted)
	check(r.ReadYourWritesViolation == 0, "%d reads did not show the client's own write", r.ReadYourWritesViolation)
	check(!r.Chaos || r.ServiceKills > 0, "no instance of a service was killed")
	check(r.OutOfOrder == 0, "the changes of %d users are on the stream in another order", r.OutOfOrder)
	check(r.Mismatches == 0, "%d documents differ between MongoDB and DynamoDB", r.Mismatches)
	check(r.WriteHoldMS > 0 && r.WriteHoldMS < ms(r.holdLimit()),
		"the longest write hold was %.0f ms, it must be above 0 and under %.0f", r.WriteHoldMS, ms(r.holdLimit()))
}

// save writes the report as JSON.
func (r *Report) save(path string) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// print prints the summary.
func (r *Report) print(s *screen) {
	var b strings.Builder
	row := func(good bool, label, value, note string) {
		mark := s.style("32", "ok")
		if !good {
			mark = s.style("1;31", "!!")
		}
		fmt.Fprintf(&b, "  %s  %-34s %12s  %s\n", mark, label, value, s.style("2", note))
	}
	zero := func(label string, n int64, note string) { row(n == 0, label, number(n), note) }

	s.heading("What the mobile apps saw")
	row(r.Requests > 0, "requests", number(r.Requests), fmt.Sprintf("in %.0f s, all to one address", r.Seconds))
	zero("failed", r.FailedRequests, "")
	zero("reads without the app's own write", r.ReadYourWritesViolation, "")
	row(true, "latency p50 / p99", fmt.Sprintf("%.1f / %.0f ms", r.P50MS, r.P99MS), fmt.Sprintf("slowest %.0f ms", r.MaxMS))
	s.print(b.String())
	b.Reset()

	s.heading("What happened behind the proxy")
	row(r.EventsPublished > 0, "events published", number(r.EventsPublished), fmt.Sprintf("%s of them more than once", number(r.Redelivered)))
	row(r.EventsApplied == r.EventsPublished, "events applied", number(r.EventsApplied), "in both read models")
	zero("events lost", r.EventsLost, "")
	zero("effects applied twice", r.EventsAppliedTwice, "")
	row(r.DeadLetters == r.DeadLettersWanted, "dead letters", number(r.DeadLetters), "one for each consumer, of the malformed record that the demo publishes")
	row(true, "consumer lag p99", fmt.Sprintf("%.0f ms", r.LagP99MS), "from arrival on the stream to the end of the handler")
	row(r.Documents > 0, "documents moved to DynamoDB", number(r.Documents), fmt.Sprintf("%s compared", number(r.Compared)))
	zero("mismatches", r.Mismatches, "")
	row(r.WriteHoldMS < ms(r.holdLimit()), "longest write hold", fmt.Sprintf("%.0f ms", r.WriteHoldMS), "during the changes of owner")
	row(true, "peak memory of banyan-migrate", fmt.Sprintf("%d MB", r.MigratePeakBytes>>20), "")
	if r.Chaos {
		row(true, "commands lost / late / repeated", fmt.Sprintf("%d / %d / %d", r.CommandsLost, r.CommandsLate, r.CommandsRepeated),
			fmt.Sprintf("of banyan-migrate to MongoDB, up to %.0f s late", r.LatestMS/1000))
		row(true, "faults injected / SIGKILLs", fmt.Sprintf("%s / %d", number(r.FaultsInjected), r.MigrateKills), fmt.Sprintf("of banyan-migrate, seed %d", r.Seed))
		row(r.ServiceKills > 0, "SIGKILLs of services", number(int64(r.ServiceKills)), fmt.Sprintf("%s requests were made again, %s of them writes without an answer",
			number(r.ServicesRetried), number(r.ServicesUnknown)))
	}
	s.print(b.String())

	if !r.checked {
		r.Broken = append(r.Broken, "the run did not reach its end, so nothing was checked")
	}
	if len(r.Broken) == 0 {
		s.print("\n" + s.style("1;32", "The timeline and all entities have left the monolith, and no app noticed.") + "\n")
		return
	}
	s.print("\n" + s.style("1;31", "Broken:") + "\n")
	for _, x := range append(r.Broken, r.Details...) {
		s.print("  - " + x + "\n")
	}
}
