package projection_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/search/embedded"
	"github.com/banyan-fig/banyan/consumers/search/projection"
	"github.com/banyan-fig/banyan/consumers/search/searchtest"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/eventually"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
)

// TestMain lets bleve have its workers, which it starts when it is linked.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/blevesearch/bleve_index_api.AnalysisWorker"))
}

var fields = search.Fields{
	Prefix: "doc#", Sort: "d", Texts: []string{"name", "tags"}, Rank: "sales", Gone: "gone", Show: []string{"name"},
}

// world is a table, what it should hold, and a random source of changes.
type world struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	sdk     aws.Config
	ddb     *dynamodb.Client
	want    searchtest.Brute
	version map[string]int64
	deleted map[string]bool
}

const table = "docs"

// newWorld makes a table in a DynamoDB in which so many of 100 reads fail.
func newWorld(t *testing.T, faults int) *world {
	t.Helper()
	seed := rand.Uint64()
	w := &world{t: t, seed: seed, random: rand.New(rand.NewPCG(seed, 1)),
		want: searchtest.Brute{}, version: map[string]int64{}, deleted: map[string]bool{}}
	var mu sync.Mutex
	failing := rand.New(rand.NewPCG(seed, 2))
	server := httptest.NewServer(sandbox.New(sandbox.Config{Fault: func(op, _ string) sandbox.Fault {
		mu.Lock()
		defer mu.Unlock()
		if slices.Contains([]string{"Scan", "GetRecords", "GetShardIterator", "DescribeStream", "DescribeTable"}, op) && failing.IntN(100) < faults {
			return []sandbox.Fault{sandbox.FaultThrottle, sandbox.FaultInternal, sandbox.FaultTimeoutAfter}[failing.IntN(3)]
		}
		return sandbox.FaultNone
	}}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w.sdk = aws.Config{Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), RetryMaxAttempts: 1}
	w.ddb = dynamodb.NewFromConfig(w.sdk)
	_, err := w.ddb.CreateTable(t.Context(), dynamo.CompositeTable(table))
	w.must(err)
	w.stream(types.StreamViewTypeNewAndOldImages)
	return w
}

// stream enables the table's stream with a view, or disables it.
func (w *world) stream(view types.StreamViewType) {
	w.t.Helper()
	_, err := w.ddb.UpdateTable(w.t.Context(), &dynamodb.UpdateTableInput{TableName: aws.String(table),
		StreamSpecification: &types.StreamSpecification{StreamEnabled: aws.Bool(view != ""), StreamViewType: view}})
	w.must(err)
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
}

func (w *world) projection(index search.Index) *projection.Projection {
	w.t.Helper()
	p, err := projection.New(projection.Config{
		Tables: w.ddb, Streams: dynamodbstreams.NewFromConfig(w.sdk), Table: table, Fields: fields, Index: index,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), ListInterval: 50 * time.Millisecond,
	})
	w.must(err)
	return p
}

// change makes a change of one of 30 documents, and returns it as the stream has it.
func (w *world) change() projection.Record {
	key := fmt.Sprint("k", w.random.IntN(30))
	for w.deleted[key] {
		key += "'" // which was never deleted, or is deleted too
	}
	old := w.item(key)
	if w.version[key] > 0 && w.random.IntN(20) == 0 {
		w.deleted[key] = true
		w.want.Write(search.Document{Key: key, Version: w.version[key] + 1})
		return w.record("REMOVE", nil, old)
	}
	w.version[key]++
	d := searchtest.Document(key, fmt.Sprint(w.word(), " ", w.word()), w.random.Int64N(10), w.version[key])
	if w.random.IntN(10) == 0 {
		d = search.Document{Key: key, Version: d.Version}
	}
	w.want.Write(d)
	return w.record("MODIFY", w.item(key), old)
}

func (w *world) word() string {
	return []string{"oak", "oaks", "elm", "ash", "aspen", "willow", "pine", "pineapple", "fig"}[w.random.IntN(9)]
}

// item is a document as the table has it.
func (w *world) item(key string) dynamo.Item {
	d := w.want[key]
	item := dynamo.Key("doc#"+key, "d")
	item["rev"], item["sales"] = dynamo.Int(d.Version), dynamo.Int(d.Rank)
	if len(d.Words) == 0 {
		item["gone"], item["name"] = dynamo.Bool(true), dynamo.String("oak")
		return item
	}
	item["name"] = dynamo.String(d.Words[0])
	item["tags"] = &types.AttributeValueMemberL{Value: []types.AttributeValue{dynamo.String(strings.Join(d.Words[1:], " "))}}
	return item
}

func (w *world) record(name string, image, old dynamo.Item) projection.Record {
	r := projection.Record{Name: name, Source: "aws:dynamodb"}
	for to, item := range map[*json.RawMessage]dynamo.Item{&r.Change.New: image, &r.Change.Old: old} {
		if item != nil {
			text, err := attributevalue.MarshalMapJSON(item)
			w.must(err)
			*to = text
		}
	}
	return r
}

// write makes changes in the table.
func (w *world) write(n int) {
	w.t.Helper()
	for range n {
		r := w.change()
		item, err := attributevalue.UnmarshalMapJSON(r.Change.New)
		if r.Name != "REMOVE" {
			w.must(err)
			_, err = w.ddb.PutItem(w.t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: item})
			w.must(err)
			continue
		}
		old, err := attributevalue.UnmarshalMapJSON(r.Change.Old)
		w.must(err)
		_, err = w.ddb.DeleteItem(w.t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(table),
			Key: dynamo.Item{dynamo.AttrPK: old[dynamo.AttrPK], dynamo.AttrSK: old[dynamo.AttrSK]}})
		w.must(err)
	}
	noise := dynamo.Key("doc#k1", "other")
	noise["name"] = dynamo.String("oak")
	_, err := w.ddb.PutItem(w.t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: noise})
	w.must(err)
}

// difference is the first query that the index answers in another way than brute force.
func (w *world) difference(index search.Finder) error {
	for _, query := range []string{"oak", "oaks", "elm", "as", "willow", "wilow", "pine", "fig oak", "a"} {
		page, err := search.Searcher{Index: index}.Search(w.t.Context(), query, "", search.MaxLimit)
		if err != nil {
			return err
		}
		var got []string
		for _, h := range page.Hits {
			got = append(got, h.Key)
		}
		if want := w.want.Search(query); !slices.Equal(got, want) {
			return fmt.Errorf("seed %d: %q finds %v, want %v", w.seed, query, got, want)
		}
	}
	return nil
}

func (w *world) awaitEqual(index search.Finder) {
	w.t.Helper()
	eventually.True(w.t, fmt.Sprintf("seed %d: the index equals the table", w.seed), func() bool { return w.difference(index) == nil })
}

func (w *world) open(dir string) *embedded.Index {
	w.t.Helper()
	index, err := embedded.Open(dir)
	w.must(err)
	return index
}

// run runs a projection until the test, or the returned function, ends it.
func (w *world) run(index search.Index) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error)
	go func() { ended <- w.projection(index).Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return stop
}

// TestTheIndexBecomesTheTable writes before, while and after an index is built, stops the
// process in the midst of it, and lets reads fail.
func TestTheIndexBecomesTheTable(t *testing.T) {
	w := newWorld(t, 10)
	dir := t.TempDir()
	w.write(100)
	index := w.open(dir)
	stop := w.run(index)
	w.write(100)
	eventually.True(t, "an index is served", index.Served)
	w.write(100)
	w.awaitEqual(index)
	w.write(50)
	stop()
	w.must(index.Close())
	w.write(50)
	index = w.open(dir)
	if !index.Served() {
		t.Error("the index of the process before is not served")
	}
	stop = w.run(index)
	w.write(100)
	w.awaitEqual(index)
	stop()
	w.must(index.Close())
}

// TestAStreamThatIsReplaced disables the table's stream and enables it again: what is written
// meanwhile is on neither.
func TestAStreamThatIsReplaced(t *testing.T) {
	w := newWorld(t, 0)
	w.write(50)
	index := w.open(t.TempDir())
	stop := w.run(index)
	w.awaitEqual(index)
	w.stream("")
	w.write(50)
	w.stream(types.StreamViewTypeNewAndOldImages)
	w.write(5)
	w.awaitEqual(index)
	stop()
	w.must(index.Close())
}

// TestAFunctionIsGivenBatchesTwiceAndLate delivers all changes in any order, and some again,
// while an index is built of an early state.
func TestAFunctionIsGivenBatchesTwiceAndLate(t *testing.T) {
	w := newWorld(t, 0)
	index := w.open(t.TempDir())
	p := w.projection(index)
	var records []projection.Record
	for range 150 {
		records = append(records, w.change())
	}
	early := w.random.IntN(len(records))
	b, err := index.Build(t.Context())
	w.must(err)
	var delivered []projection.Record
	for range 3 {
		w.random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
		delivered = append(delivered, records...)
	}
	for n, batch := range slices.Collect(slices.Chunk(delivered, 7)) {
		w.must(p.Handle(t.Context(), projection.Event{Records: batch}))
		if n == early/7 {
			w.must(b.Use(t.Context()))
		}
	}
	if err := w.difference(index); err != nil {
		t.Error(err)
	}
	w.must(index.Close())
}

func TestRebuild(t *testing.T) {
	w := newWorld(t, 0)
	index := w.open(t.TempDir())
	p := w.projection(index)
	w.write(20)
	unfit := dynamo.Key("doc#unfit", "d")
	unfit["name"] = dynamo.String("oak")
	_, err := w.ddb.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(table), Item: unfit}) // has no rev
	w.must(err)
	for range 2 {
		_, err := p.Rebuild(t.Context())
		w.must(err)
		if err := w.difference(index); err != nil {
			t.Error(err)
		}
	}
	wrong := fields
	wrong.Version = "version"
	for name, c := range map[string]struct {
		cfg  projection.Config
		says string
	}{
		"fields that fit nothing": {projection.Config{Tables: w.ddb, Table: table, Fields: wrong, Index: index}, "none of"},
		"no table":                {projection.Config{Tables: w.ddb, Table: "other", Fields: fields, Index: index}, "scan other"},
	} {
		c.cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
		broken, err := projection.New(c.cfg)
		w.must(err)
		if _, err := broken.Rebuild(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err := w.difference(index); err != nil {
			t.Errorf("%s: the index before is not searched: %v", name, err)
		}
	}
	w.must(index.Close())
}

func TestWhatCannotBeFollowed(t *testing.T) {
	w := newWorld(t, 0)
	p := w.projection(&broken{})
	image := w.record("INSERT", w.item("a"), nil)
	for name, c := range map[string]struct {
		records []projection.Record
		says    string
	}{
		"no records":     {nil, "has no records"},
		"another source": {[]projection.Record{{Name: "INSERT", Source: "aws:kinesis"}}, `from "aws:kinesis"`},
		"no image":       {[]projection.Record{{Name: "REMOVE", Source: "aws:dynamodb"}}, "NEW_AND_OLD_IMAGES"},
		"half an image": {[]projection.Record{func() projection.Record {
			r := image
			r.Change.New = r.Change.New[:len(r.Change.New)/2]
			return r
		}()}, "decode its image"},
		"an index that fails": {[]projection.Record{w.change()}, errBroken.Error()},
	} {
		if err := p.Handle(t.Context(), projection.Event{Records: c.records}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want %q", name, err, c.says)
		}
	}
	w.stream("")
	if _, err := p.StreamARN(t.Context()); err == nil || !strings.Contains(err.Error(), "enable it") {
		t.Errorf("no stream: %v", err)
	}
	w.stream(types.StreamViewTypeKeysOnly)
	if _, err := p.StreamARN(t.Context()); err == nil || !strings.Contains(err.Error(), "NEW_AND_OLD_IMAGES") {
		t.Errorf("a stream of keys: %v", err)
	}
	for _, cfg := range []projection.Config{{}, {Table: table, Index: &broken{}}} {
		if _, err := projection.New(cfg); err == nil {
			t.Errorf("took %+v", cfg)
		}
	}
}

var errBroken = errors.New("broken on purpose")

// broken is an index that fails.
type broken struct{ searchtest.Failing }

func (*broken) Write(context.Context, []search.Document) error { return errBroken }

func (*broken) Build(context.Context) (search.Building, error) { return nil, errBroken }
