package target_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

const planWithoutUnique = "entity: people\nsource: {collection: people}\ntarget:\n  table: people-plain\n  key: {type: string}\n"

// partiQL is in front of the sandbox, which has no PartiQL: it does each INSERT of a batch
// as the put on a condition that it is. The same tests run on DynamoDB Local, which has it.
type partiQL struct {
	http.Handler
	mu       sync.Mutex
	requests map[string]int                             // by operation
	refuse   func(request int) (code string)            // answers a batch as a whole, "" does it
	answer   func(request, statement int) (code string) // answers one statement, "" does it
}

func (p *partiQL) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation := r.Header.Get("X-Amz-Target")[len("DynamoDB_20120810."):]
	p.mu.Lock()
	p.requests[operation]++
	request := p.requests[operation]
	p.mu.Unlock()
	if operation != "BatchExecuteStatement" {
		p.Handler.ServeHTTP(w, r)
		return
	}
	if code := p.refuse(request); code != "" {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"as the test wants"}`, code)
		return
	}
	var in struct {
		Statements []struct {
			Statement  string
			Parameters []json.RawMessage
		}
	}
	body, err := io.ReadAll(r.Body)
	if err := errors.Join(err, json.Unmarshal(body, &in)); err != nil {
		panic(err)
	}
	type response struct {
		TableName string
		Error     map[string]string `json:",omitempty"`
	}
	var answers struct{ Responses []response }
	for i, s := range in.Statements {
		a := response{TableName: "people-plain"}
		code := p.answer(request, i)
		if code == "" {
			code = p.insert(r, s.Statement, s.Parameters)
		}
		if code != "" {
			a.Error = map[string]string{"Code": code, "Message": "refused"}
		}
		answers.Responses = append(answers.Responses, a)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	if err := json.NewEncoder(w).Encode(answers); err != nil {
		panic(err)
	}
}

// insert puts the item of a statement such as INSERT INTO "t" VALUE {'id':?,'at':?}.
func (p *partiQL) insert(r *http.Request, statement string, values []json.RawMessage) (code string) {
	table, names, ok := strings.Cut(strings.TrimPrefix(statement, `INSERT INTO "`), `" VALUE {`)
	members := strings.Split(strings.TrimSuffix(names, "}"), ",")
	if !ok || len(members) != len(values) {
		return "ValidationError"
	}
	item := map[string]json.RawMessage{}
	for i, m := range members {
		name, ok := strings.CutSuffix(strings.TrimPrefix(m, "'"), "':?")
		if !ok {
			return "ValidationError"
		}
		item[name] = values[i]
	}
	body, err := json.Marshal(map[string]any{"TableName": table, "Item": item, "ConditionExpression": "attribute_not_exists(id)"})
	if err != nil {
		panic(err)
	}
	put := r.Clone(r.Context())
	put.Header.Set("X-Amz-Target", "DynamoDB_20120810.PutItem")
	put.Body, put.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer := httptest.NewRecorder()
	p.Handler.ServeHTTP(answer, put)
	switch {
	case answer.Code == http.StatusOK:
		return ""
	case strings.Contains(answer.Body.String(), "ConditionalCheckFailed"):
		return "DuplicateItem"
	}
	return "ValidationError"
}

// newInsertWorld is a world without unique constraints, whose server takes INSERTs.
func newInsertWorld(t *testing.T) (*world, *partiQL) {
	t.Helper()
	p := &partiQL{requests: map[string]int{}, refuse: func(int) string { return "" }, answer: func(int, int) string { return "" }}
	w := newWorldOf(t, planWithoutUnique, func(h http.Handler) http.Handler {
		if p.Handler = h; os.Getenv("BANYAN_CONFORMANCE_DYNAMODB") != "" {
			return h
		}
		return p
	})
	w.Tables = w.Checked(func(context.Context) error { return nil })
	return w, p
}

// fill copies documents as of a time.
func (w *world) fill(at stamp.ClusterTime, fresh bool, docs ...bson.Raw) error {
	w.Helper()
	batches, misfits, err := w.Batches(docs, at)
	if err != nil || len(misfits) > 0 {
		w.Fatal(err, misfits)
	}
	var errs []error
	for _, b := range batches {
		errs = append(errs, b.Fill(w.Context(), fresh))
	}
	return errors.Join(errs...)
}

// contentOf is the attribute at of each item, and "" + id for tombstones.
func (w *world) contentOf() map[string]int64 {
	w.Helper()
	all := map[string]int64{}
	for _, item := range w.scan("people-plain") {
		at, _ := dynamo.IntOf(item, "at")
		if stamp.Of(item).Tombstone {
			at = -1
		}
		all[dynamo.StringOf(item, "id")] = at
	}
	return all
}

func (w *world) mustHaveContent(want map[string]int64) {
	w.Helper()
	got := w.contentOf()
	if len(got) != len(want) {
		w.Errorf("%d items, want %d", len(got), len(want))
	}
	for id, at := range want {
		if got[id] != at {
			w.Errorf("%s is of %d, want %d", id, got[id], at)
		}
	}
}

func (w *world) many(n int, at stamp.ClusterTime) (docs []bson.Raw, want map[string]int64) {
	want = map[string]int64{}
	for i := range n {
		id := fmt.Sprintf("id%03d", i)
		docs, want[id] = append(docs, w.document(id, version{at: at})), int64(at)
	}
	return docs, want
}

// TestInsertsFillOnlyWhatIsAbsent: what stands in the place of a document stays, whoever
// wrote it and also as a tombstone, and everything else is written, whatever its fields are
// called.
func TestInsertsFillOnlyWhatIsAbsent(t *testing.T) {
	w, p := newInsertWorld(t)
	w.apply("id003", version{at: 9})
	w.apply("id004", version{at: 9, deleted: true})
	w.InEpoch(2).Apply(t.Context(), w.version("id005", version{at: 8}, 8))
	docs, want := w.many(60, 7)
	want["id003"], want["id004"], want["id005"] = 9, -1, 8
	odd, err := bson.Marshal(bson.D{{Key: "_id", Value: "odd"}, {Key: "at", Value: int64(7)}, {Key: "o'clock", Value: "a"}, {Key: `"?,`, Value: "b"}, {Key: "é", Value: "c"}})
	if err != nil {
		t.Fatal(err)
	}
	docs, want["odd"] = append(docs, odd), 7
	for range 2 { // the second time as after a crash: all of it is there
		if err := w.fill(7, false, docs...); err != nil {
			t.Fatal(err)
		}
		w.mustHaveContent(want)
	}
	onlySeveral := p.requests["BatchExecuteStatement"] <= 6 && p.requests["BatchGetItem"] <= 12 // a request each would be 61
	if !onlySeveral || p.requests["TransactWriteItems"] > 0 {
		t.Errorf("twice 61 documents took %v", p.requests)
	}
	for _, item := range w.scan("people-plain") {
		if dynamo.StringOf(item, "id") == "odd" && (dynamo.StringOf(item, "o'clock") != "a" || dynamo.StringOf(item, `"?,`) != "b") {
			t.Errorf("odd names: %v", item)
		}
	}
}

// TestAFreshCopyReplacesWhatIsOlder, which INSERTs are refused for.
func TestAFreshCopyReplacesWhatIsOlder(t *testing.T) {
	w, _ := newInsertWorld(t)
	before, _ := w.many(30, 5)
	if err := w.fill(5, false, before...); err != nil {
		t.Fatal(err)
	}
	w.apply("id003", version{at: 9})
	docs, want := w.many(40, 7)
	want["id003"] = 9
	if err := w.fill(7, true, docs...); err != nil {
		t.Fatal(err)
	}
	w.mustHaveContent(want)
}

// TestACopyOntoOutOfBandItemsFails, also where an INSERT was refused.
func TestACopyOntoOutOfBandItemsFails(t *testing.T) {
	w, _ := newInsertWorld(t)
	item := codec.Item{"id": dynamo.String("id001")}
	if _, err := w.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String("people-plain"), Item: item}); err != nil {
		t.Fatal(err)
	}
	docs, _ := w.many(3, 7)
	if err := w.fill(7, false, docs...); !errors.Is(err, side.ErrOutOfBand) {
		t.Errorf("copied with %v", err)
	}
}

// TestWhereNoInsertIsTaken a copy writes transactions, and tries no INSERT again.
func TestWhereNoInsertIsTaken(t *testing.T) {
	onSandbox(t)
	for name, set := range map[string]func(p *partiQL){
		"unknown to the server": func(p *partiQL) { p.refuse = func(int) string { return "UnknownOperationException" } },
		"not allowed":           func(p *partiQL) { p.refuse = func(int) string { return "AccessDeniedException" } },
		"not allowed, by statement": func(p *partiQL) {
			p.answer = func(_, statement int) string {
				if statement == 0 {
					return ""
				}
				return "AccessDenied"
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := newInsertWorld(t)
			set(p)
			docs, want := w.many(30, 7)
			if err := w.fill(7, false, docs[:20]...); err != nil {
				t.Fatal(err)
			}
			if err := w.fill(7, false, docs...); err != nil {
				t.Fatal(err)
			}
			w.mustHaveContent(want)
			if p.requests["BatchExecuteStatement"] != 1 || p.requests["TransactWriteItems"] == 0 {
				t.Errorf("requests: %v", p.requests)
			}
		})
	}
}

// TestWhatIsThrottledIsSentAgain for as long as it takes, and alone: what was written is not.
func TestWhatIsThrottledIsSentAgain(t *testing.T) {
	onSandbox(t)
	for _, code := range []string{"ThrottlingError", "ProvisionedThroughputExceeded", "TransactionConflict"} {
		w, p := newInsertWorld(t)
		p.answer = func(request, statement int) string {
			if request < 6 && statement > 0 {
				return code
			}
			return ""
		}
		docs, want := w.many(12, 7)
		if err := w.fill(7, false, docs...); err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		w.mustHaveContent(want)
		if p.requests["PutItem"] > 0 || p.requests["BatchGetItem"] > 0 || p.requests["BatchExecuteStatement"] != 6 {
			t.Errorf("%s: %v", code, p.requests)
		}
	}
}

func onSandbox(t *testing.T) {
	t.Helper()
	if os.Getenv("BANYAN_CONFORMANCE_DYNAMODB") != "" {
		t.Skip("only the test's own front can be told what to refuse")
	}
}

// conflicting has the transactions that write an item conflict with another's.
type conflicting struct {
	*dynamodb.Client
	with      string
	conflicts int
}

func (c *conflicting) TransactWriteItems(ctx context.Context, in *dynamodb.TransactWriteItemsInput,
	opts ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error) {
	reasons, conflict := make([]types.CancellationReason, len(in.TransactItems)), false
	for i, w := range in.TransactItems {
		if reasons[i].Code = aws.String("None"); w.Put != nil && dynamo.StringOf(w.Put.Item, "id") == c.with && len(in.TransactItems) > 2 {
			reasons[i].Code, conflict = aws.String("TransactionConflict"), true
		}
	}
	if conflict {
		c.conflicts++
		return nil, &types.TransactionCanceledException{CancellationReasons: reasons}
	}
	return c.Client.TransactWriteItems(ctx, in, opts...)
}

// TestADocumentThatIsWrittenJustNowHoldsUpNoOther: a transaction in which one item conflicts
// is sent again without it.
func TestADocumentThatIsWrittenJustNowHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	c := &conflicting{Client: w.client, with: "id003"}
	w.Client = c
	want := map[string]version{}
	var docs []bson.Raw
	for i := range 10 {
		id, v := fmt.Sprintf("id%03d", i), version{at: 7, email: fmt.Sprint("e", i)}
		docs, want[id] = append(docs, w.document(id, v)), v
	}
	if err := w.fill(7, false, docs...); err != nil {
		t.Fatal(err)
	}
	w.mustHold(want)
	if c.conflicts != 1 {
		t.Errorf("%d conflicts, want 1", c.conflicts)
	}
}
