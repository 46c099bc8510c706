package outboxtable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

// change is a record of the table's stream. Its sequence number is "s" and n.
func change(kind, key string, n int) awsevents.DynamoDBEventRecord {
	return awsevents.DynamoDBEventRecord{EventName: kind, Change: awsevents.DynamoDBStreamRecord{
		SequenceNumber: fmt.Sprint("s", n),
		Keys: map[string]awsevents.DynamoDBAttributeValue{
			"pk": awsevents.NewStringAttribute(key), "sk": awsevents.NewStringAttribute(fmt.Sprint(n)),
		},
	}}
}

func batch(records ...awsevents.DynamoDBEventRecord) awsevents.DynamoDBEvent {
	return awsevents.DynamoDBEvent{Records: records}
}

func failed(out awsevents.DynamoDBEventResponse) string {
	var all []string
	for _, f := range out.BatchItemFailures {
		all = append(all, f.ItemIdentifier)
	}
	return strings.Join(all, ",")
}

// The table decides about the order, whatever the stream of it says: records of
// one transaction may come in any order.
func TestHandlePublishesInTheOrderOfTheTable(t *testing.T) {
	w := newWorld(t)
	w.write(event("a", 1), event("a", 2))
	w.write(event("b", 1))
	w.write(event("a", 3))
	out, err := w.relay(outboxtable.Config{}).Handle(t.Context(),
		batch(change("INSERT", "a", 2), change("INSERT", "b", 1), change("INSERT", "a", 1), change("INSERT", "a", 3)))
	if err != nil || failed(out) != "" {
		t.Fatalf("Handle = %v, %v", out, err)
	}
	got := w.published()
	for key, n := range map[string]int{"a": 3, "b": 1} {
		if err := inOrder(n, got[key]); err != nil || len(got[key]) != n {
			t.Errorf("key %s: %v, %v", key, got[key], err)
		}
	}
	if n := w.items(); n != 0 {
		t.Errorf("%d items are left", n)
	}
}

// What the table's stream forgot comes with the next event of its key, before it.
func TestARecordRelaysMissedEvents(t *testing.T) {
	w := newWorld(t)
	for n := 1; n <= 3; n++ {
		w.write(event("k", n))
	}
	if out, err := w.relay(outboxtable.Config{}).Handle(t.Context(), batch(change("INSERT", "k", 3))); err != nil || failed(out) != "" {
		t.Fatalf("Handle = %v, %v", out, err)
	}
	if got := fmt.Sprint(w.published()["k"]); got != "[1 2 3]" || w.items() != 0 {
		t.Errorf("on the stream: %s; left: %d", got, w.items())
	}
}

// A key that is written all the time does not keep a batch from its end.
func TestHandleEndsUnderWrites(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, stop := context.WithCancel(t.Context())
	var owner sync.WaitGroup
	w.write(event("k", 1))
	n := 1
	owner.Go(func() {
		for ctx.Err() == nil {
			n++
			w.write(event("k", n))
		}
	})
	r := w.relay(outboxtable.Config{})
	for range 5 {
		began := time.Now()
		limited, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		if out, err := r.Handle(limited, batch(change("INSERT", "k", 1))); err != nil || failed(out) != "" {
			t.Errorf("Handle = %v, %v", out, err)
		}
		cancel()
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("Handle took %v", took)
		}
	}
	stop()
	owner.Wait()
	if _, err := r.Sweep(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := inOrder(n, w.published()["k"]); err != nil {
		t.Error(err)
	}
}

// One item keeps several events of a write together.
func TestAnEntryOfSeveralEvents(t *testing.T) {
	w := newWorld(t)
	var es []events.Event
	for n := 1; n <= 30; n++ {
		es = append(es, event("k", n))
	}
	w.writeEntry(7, es[:10]...)
	w.writeEntry(8, es[10:]...)
	w.writeEntry(10, event("k", 31)) // as text, 10 would come before 8
	if n := len(w.left("k")); n != 3 {
		t.Fatalf("%d items, want 3", n)
	}
	rep, err := w.relay(outboxtable.Config{}).Sweep(t.Context(), 0)
	if err != nil || rep.Published != 31 || rep.Keys != 1 || len(rep.Lags) != 31 {
		t.Errorf("Sweep = %+v, %v", rep, err)
	}
	if err := inOrder(31, w.published()["k"]); err != nil {
		t.Error(err)
	}
}

func (w *world) writeEntry(order uint64, es ...events.Event) {
	w.Helper()
	entry, err := outboxtable.NewEntry(order, es...)
	if err == nil {
		_, err = w.dynamo.TransactWriteItems(w.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{entry.Item(table)}})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// Claims, deletions and events that are on the stream already wake nobody up.
func TestHandleIgnoresWhatIsDone(t *testing.T) {
	w := newWorld(t)
	w.write(event("a", 1))
	w.write(event("b", 1))
	var reports []outboxtable.Report
	r := w.relay(outboxtable.Config{Observe: func(_ context.Context, rep outboxtable.Report) { reports = append(reports, rep) }})
	for range 2 {
		out, err := r.Handle(t.Context(), batch(change("MODIFY", "b", 1), change("INSERT", "a", 2), change("REMOVE", "b", 3)))
		if err != nil || failed(out) != "" {
			t.Fatalf("Handle = %v, %v", out, err)
		}
	}
	if got := w.published(); len(got["a"]) != 1 || len(got["b"]) != 0 {
		t.Errorf("on the stream: %v, want a once and b not", got)
	}
	if len(reports) != 2 || reports[0].Published != 1 || reports[0].Records != 3 || reports[0].Keys != 1 || reports[1].Published != 0 {
		t.Errorf("reports: %+v", reports)
	}
	if out, err := r.Handle(t.Context(), batch()); err != nil || out.BatchItemFailures == nil {
		t.Errorf("an empty batch: %v, %v", out, err)
	}
}

func TestHandleRefusesAnotherTable(t *testing.T) {
	w := newWorld(t)
	other := change("INSERT", "a", 1)
	other.Change.Keys = map[string]awsevents.DynamoDBAttributeValue{"id": awsevents.NewStringAttribute("x")}
	if _, err := w.relay(outboxtable.Config{}).Handle(t.Context(), batch(other)); err == nil {
		t.Error("a record of another table: no error")
	}
}

// More items than a round has, of more bytes than a page.
func TestManyAndLargeItemsOfOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 120
	for i := 1; i <= n; i++ {
		e := event("k", i)
		if i%15 == 0 {
			e.Data = []byte(fmt.Sprintf(`{"n":%d,"x":%q}`, i, strings.Repeat("x", 150<<10)))
		}
		w.write(e)
	}
	if out, err := w.relay(outboxtable.Config{}).Handle(t.Context(), batch(change("INSERT", "k", 1))); err != nil || failed(out) != "" {
		t.Fatalf("Handle = %v, %v", out, err)
	}
	if err := inOrder(n, w.published()["k"]); err != nil {
		t.Error(err)
	}
	if left := w.items(); left != 0 {
		t.Errorf("%d items are left", left)
	}
}

// What can never be published is kept elsewhere, whole, and holds nothing up.
func TestDeadLetters(t *testing.T) {
	w := newWorld(t)
	w.write(event("k", 1))
	large := event("k", 2)
	large.Data = []byte(`{"n":2,"x":"` + strings.Repeat("x", 4<<10) + `"}`)
	w.write(large)
	stranger := event("other", 1)
	w.put("k", "00000000000000000003.bytes", []byte(`{"no":"event"}`))
	w.put("k", "00000000000000000004.key", encode(t, stranger))
	w.put("k", "foreign", nil)
	w.write(event("k", 5))
	kept := &letters{}
	r := w.relay(outboxtable.Config{
		DeadLetters: kept, Publisher: w.publisher(kinesis.Config{MaxRecordBytes: 1 << 10}),
		Permanent: func(err error) bool { return errors.Is(err, kinesis.ErrTooLarge) },
	})
	rep, err := r.Sweep(t.Context(), 0)
	if err != nil || rep.Published != 2 || rep.DeadLetters != 4 || rep.Failed != 0 {
		t.Fatalf("Sweep = %+v, %v", rep, err)
	}
	if got := fmt.Sprint(w.published()["k"]); got != "[1 5]" {
		t.Errorf("on the stream: %s", got)
	}
	raw := map[string]string{}
	places := map[events.Position]bool{}
	for _, d := range kept.all {
		raw[d.SortKey] = string(d.Raw)
		places[d.Position()] = true
		if back, err := events.ParsePosition(d.Position().String()); err != nil || back != d.Position() || d.Reason == "" || d.PartitionKey != "k" {
			t.Errorf("dead letter %+v at %v: %v", d, d.Position(), err)
		}
	}
	if len(places) != 4 || raw["00000000000000000002.k-2"] != string(encode(t, large)) ||
		raw["00000000000000000003.bytes"] != `{"no":"event"}` || raw["00000000000000000004.key"] != string(encode(t, stranger)) {
		t.Errorf("%d places, dead letters: %q", len(places), raw)
	}
	if left := w.left("k"); len(left) != 0 {
		t.Errorf("left in the outbox: %v", left)
	}
	if err := w.relay(outboxtable.Config{}).Redrive(t.Context(), encode(t, large)); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(w.published()["k"]); got != "[1 5 2]" {
		t.Errorf("on the stream after the redrive: %s", got)
	}
}

// Without a place for a dead letter, its key waits; others do not.
func TestADeadLetterThatCannotBeKept(t *testing.T) {
	w := newWorld(t)
	w.write(event("k", 1))
	w.put("k", "00000000000000000002.bytes", []byte("x"))
	w.write(event("k", 3))
	w.write(event("l", 1))
	kept := &letters{fail: errors.New("full")}
	out, err := w.relay(outboxtable.Config{DeadLetters: kept}).Handle(t.Context(),
		batch(change("INSERT", "l", 1), change("INSERT", "k", 2), change("INSERT", "k", 3)))
	if err != nil || failed(out) != "s2" {
		t.Errorf("Handle = %v, %v; want the first record of k", out, err)
	}
	if left := w.left("k"); len(left) != 2 || len(w.left("l")) != 0 {
		t.Errorf("left: %v", left)
	}
	kept.fail = nil
	if _, err := w.relay(outboxtable.Config{DeadLetters: kept}).Sweep(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if n := w.items(); n != 0 {
		t.Errorf("%d items are left", n)
	}
}

// When the time is over with events on their way, the answer is an error, and
// the items stay, claimed.
func TestHandleSaysWhatIsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(event("a", 1))
	w.faults("delay 30s\nkinesis.PutRecords timeout-before=1")
	const given = 10 * time.Second // of which a fifth is for deletions
	ctx, cancel := context.WithTimeout(t.Context(), given)
	defer cancel()
	p := w.publisher(kinesis.Config{})
	began := time.Now()
	_, err := w.relay(outboxtable.Config{Publisher: p, ID: "first", Claim: time.Minute}).Handle(ctx, batch(change("INSERT", "a", 1)))
	mustBe(t, err, outboxtable.ErrInFlight)
	if took := time.Since(began); took >= given {
		t.Errorf("it took %v of %v", took, given)
	}
	drop(p)
	w.faults("")
	out, err := w.relay(outboxtable.Config{}).Handle(t.Context(), batch(change("INSERT", "b", 0), change("INSERT", "a", 1)))
	if err != nil || failed(out) != "s1" {
		t.Errorf("while the first relay's claim lasts: %v, %v", out, err)
	}
	later := w.relay(outboxtable.Config{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	if out, err := later.Handle(t.Context(), batch(change("INSERT", "a", 1))); err != nil || failed(out) != "" {
		t.Errorf("when it has run out: %v, %v", out, err)
	}
	if err := inOrder(1, w.published()["a"]); err != nil {
		t.Error(err)
	}
}

// A relay that has no time for a key leaves it alone.
func TestHandleStopsBeforeTheDeadline(t *testing.T) {
	w := newWorld(t)
	w.write(event("a", 1))
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	out, err := w.relay(outboxtable.Config{}).Handle(ctx, batch(change("REMOVE", "a", 0), change("INSERT", "a", 1)))
	if err != nil || failed(out) != "s1" || len(w.left("a")) != 1 {
		t.Errorf("Handle = %v, %v", out, err)
	}
}

// put writes an item that no owner would.
func (w *world) put(pk, sk string, data []byte) {
	w.Helper()
	item := map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberS{Value: sk},
		"events": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberB{Value: data}}},
	}
	if data == nil {
		item["events"] = &types.AttributeValueMemberS{Value: "none"}
	}
	if _, err := w.dynamo.PutItem(w.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: item}); err != nil {
		w.Fatal(err)
	}
}

func encode(t testing.TB, e events.Event) []byte {
	t.Helper()
	b, err := events.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
