package outboxtable_test

import (
	"encoding/json"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

func sized(n int) events.Event {
	e := event("big", 1)
	e.Time = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	e.Data = json.RawMessage(`"` + strings.Repeat("x", n) + `"`)
	return e
}

// The largest entry that is taken fits the table, also with a claim on it; one
// byte more is refused before anything is sent.
func TestAnEntryFitsAnItem(t *testing.T) {
	w := newWorld(t)
	n := sort.Search(400<<10, func(n int) bool {
		_, err := outboxtable.Item(table, sized(n))
		if err != nil {
			mustBe(t, err, outboxtable.ErrTooLarge)
		}
		return err != nil
	})
	if n < 400<<10-2000 || n == 400<<10 {
		t.Errorf("the limit is at %d bytes of payload", n)
	}
	w.write(sized(n - 1))
	r := w.relay(outboxtable.Config{ID: strings.Repeat("i", 128)})
	if _, err := r.Sweep(t.Context(), 0); err != nil {
		t.Errorf("relay the largest entry: %v", err)
	}
	if got := len(w.events()); got != 1 {
		t.Errorf("%d events on the stream", got)
	}
}

func TestEntriesThatCannotBe(t *testing.T) {
	long := event("k", 1)
	long.ID = strings.Repeat("x", 1004)
	bad := event("k", 1)
	bad.Source = ""
	noClock := event("k", 1)
	noClock.Sequence = "soon"
	for name, c := range map[string]struct {
		es   []events.Event
		want error
	}{
		"two keys":       {[]events.Event{event("a", 1), event("b", 2)}, outboxtable.ErrKeys},
		"a long id":      {[]events.Event{long}, outboxtable.ErrTooLarge},
		"malformed":      {[]events.Event{bad}, events.ErrMalformed},
		"no sequence":    {[]events.Event{noClock}, events.ErrMalformed},
		"too many bytes": {[]events.Event{sized(200 << 10), sized(200 << 10)}, outboxtable.ErrTooLarge},
	} {
		if _, err := outboxtable.Item(table, c.es...); err == nil {
			t.Errorf("%s: no error", name)
		} else {
			mustBe(t, err, c.want)
		}
	}
	if _, err := outboxtable.Item(table); err == nil {
		t.Error("no event at all: no error")
	}
}

// A transaction that was cancelled leaves no event; one that is sent again after
// it was committed is cancelled by its own entry, and changes nothing.
func TestOnlyWhatIsCommittedIsThere(t *testing.T) {
	w := newWorld(t)
	item, err := outboxtable.Item(table, event("k", 1))
	if err != nil {
		t.Fatal(err)
	}
	never := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: aws.String(entities), Key: map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "k"}},
		ConditionExpression: aws.String("attribute_exists(id)"),
	}}
	_, err = w.dynamo.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{never, item}})
	if err == nil || outboxtable.Repeated(err, 1) || !outboxtable.Repeated(err, 0) {
		t.Errorf("a transaction whose condition fails: %v", err)
	}
	if n := w.items(); n != 0 {
		t.Errorf("%d items are left of a cancelled transaction", n)
	}
	w.write(event("k", 1))
	if err := w.try(event("k", 1)); !outboxtable.Repeated(err, 1) || outboxtable.Repeated(err, 2) || outboxtable.Repeated(err, -1) {
		t.Errorf("the same transaction again: %v, want Repeated", err)
	}
	if _, err := w.relay(outboxtable.Config{}).Sweep(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := inOrder(1, w.published()["k"]); err != nil {
		t.Error(err)
	}
}

// What is on the stream is the event, whole, with its correlation.
func TestEventsArriveAsTheyWere(t *testing.T) {
	w := newWorld(t)
	e, err := events.New(t.Context(), "/test", social.UserProfileUpdated{UserID: "u", Name: "Ned", Version: 3})
	if err != nil {
		t.Fatal(err)
	}
	w.write(e)
	if _, err := w.relay(outboxtable.Config{}).Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	got := w.events()
	if len(got) != 1 || got[0].ID != e.ID || got[0].CorrelationID != e.CorrelationID || got[0].TraceParent != e.TraceParent ||
		string(got[0].Data) != string(e.Data) || !got[0].Time.Equal(e.Time) {
		t.Errorf("on the stream: %+v, want %+v", got, e)
	}
}

func TestEnsureAndTimeToLive(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		if err := outboxtable.Ensure(t.Context(), w.dynamo, "another"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.dynamo.UpdateTimeToLive(t.Context(), outboxtable.TimeToLive("another")); err != nil {
		t.Error(err)
	}
	out, err := w.dynamo.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: aws.String("another")})
	if err != nil || out.Table.LatestStreamArn == nil || out.Table.StreamSpecification.StreamViewType != types.StreamViewTypeKeysOnly {
		t.Errorf("the table: %+v, %v", out, err)
	}
}
