package peers_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/proxy/guard"
	"github.com/banyan-fig/banyan/proxy/guard/peers"
	"github.com/banyan-fig/banyan/proxy/observation"
	"github.com/banyan-fig/banyan/proxy/override"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is the network before DynamoDB.
type wire struct {
	http.RoundTripper
	cut    atomic.Bool
	writes atomic.Int64
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	if w.cut.Load() {
		return nil, errors.New("the network is away")
	}
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "PutItem") {
		w.writes.Add(1)
	}
	return w.RoundTripper.RoundTrip(req)
}

// fleet is processes that guard the route x, each with its own overrides.
type fleet struct {
	testing.TB
	wire
	client *awsdynamodb.Client
	now    time.Time
	guards []*guard.Guard
	tables []*override.Table
}

func newFleet(t *testing.T, processes int) *fleet {
	t.Helper()
	server := httptest.NewServer(dynamodb.New(dynamodb.Config{}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	f := &fleet{TB: t, wire: wire{RoundTripper: transport}, now: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)}
	f.client = awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: &f.wire}, Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	f.do(dynamo.EnsureTable(t.Context(), f.client, dynamo.CompositeTable("control")))
	for range processes {
		f.join()
	}
	return f
}

func (f *fleet) do(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fleet) join() {
	now := func() time.Time { return f.now }
	p := peers.New(f.client, "control", "")
	p.Now = now
	table := override.New(override.Config{Now: now})
	g := guard.New(guard.Config{Overrides: table, Peers: p, Now: now})
	f.do(g.SetBudgets(map[string]guard.Budget{"x": {Errors: 1}}))
	f.guards, f.tables = append(f.guards, g), append(f.tables, table)
}

// run lets one request a second fail, at each process in turn, until one process turns the
// route; it returns after how many, most for none.
func (f *fleet) run(most int, share bool) int {
	f.Helper()
	next := make([]time.Duration, len(f.guards))
	for i := range next {
		next[i] = time.Duration(1+i%5) * time.Second
	}
	for n := range most {
		f.now = f.now.Add(time.Second)
		f.guards[n%len(f.guards)].Observe(&observation.Observation{Route: "x", Side: observation.New, Cause: observation.Connect})
		for i, g := range f.guards {
			g.Check()
			if next[i] -= time.Second; share && next[i] <= 0 {
				next[i] = f.share(g)
			}
			if _, turned := f.tables[i].Of("x"); turned {
				return n + 1
			}
		}
	}
	return most
}

func (f *fleet) share(g *guard.Guard) time.Duration {
	f.Helper()
	next, err := g.Share(f.Context())
	f.do(err)
	return next
}

// TestAFleetNeedsNoMoreRequestsThanOne: and does without, when its members cannot be reached.
func TestAFleetNeedsNoMoreRequestsThanOne(t *testing.T) {
	one := newFleet(t, 1).run(1000, false)
	apart := newFleet(t, 16).run(1000, false)
	together := newFleet(t, 16)
	for _, g := range together.guards {
		together.share(g)
	}
	shared := together.run(1000, true)
	t.Logf("failed requests until the route is turned: %d at one process, %d at sixteen, %d at sixteen that share", one, apart, shared)
	if shared > one+20 || apart < shared+20 {
		t.Errorf("one process takes %d, sixteen %d, sixteen that share %d", one, apart, shared)
	}
	cut := newFleet(t, 2)
	cut.cut.Store(true)
	if _, err := cut.guards[0].Share(t.Context()); err == nil || !strings.Contains(err.Error(), `table "control"`) {
		t.Errorf("with the store away: %v", err)
	}
	if n := cut.run(1000, false); n == 1000 {
		t.Error("with the store away nothing is turned")
	}
}

// TestSharedCountsAreOfTheSameTime: what others counted before they were known, or while they
// could not be reached, is left out.
func TestSharedCountsAreOfTheSameTime(t *testing.T) {
	f := newFleet(t, 2)
	busy, idle := f.guards[0], f.guards[1]
	requests := func() float64 { idle.Check(); return idle.Verdicts()[0].NewRequests }
	count := func() {
		for range 100 {
			busy.Observe(&observation.Observation{Route: "x", Side: observation.New, FirstByte: 1})
		}
		busy.Check()
		f.share(busy)
	}
	count()
	f.share(idle)
	if n := requests(); n != 0 {
		t.Errorf("%v requests from before it was known", n)
	}
	count()
	f.share(idle)
	if n := requests(); n != 100 {
		t.Errorf("%v requests, not those since then", n)
	}
	before := f.writes.Load()
	f.share(busy)
	f.share(idle)
	if f.writes.Load() != before {
		t.Error("something is written with nothing new")
	}
	f.do(idle.SetBudgets(map[string]guard.Budget{"x": {Errors: 2}}))
	count()
	f.now = f.now.Add(time.Minute)
	f.share(idle)
	if n := requests(); n != 0 {
		t.Errorf("%v requests from a minute in which it was away", n)
	}
	count()
	f.share(idle)
	if n := requests(); n != 100 {
		t.Errorf("%v requests after the minute", n)
	}
}

func TestWhoIsGoneIsRemoved(t *testing.T) {
	f := newFleet(t, 1)
	p := peers.New(f.client, "control", "")
	p.Now = func() time.Time { return f.now }
	others := func() int {
		t.Helper()
		all, err := p.Exchange(t.Context(), nil)
		f.do(err)
		return len(all)
	}
	f.guards[0].Observe(&observation.Observation{Route: "x", Side: observation.New, FirstByte: 1})
	f.guards[0].Check()
	f.share(f.guards[0])
	for range 6 {
		if n := others(); n != 1 {
			t.Fatalf("%d others", n)
		}
		f.now = f.now.Add(59 * time.Minute)
	}
	f.now = f.now.Add(time.Hour)
	if others(); others() != 0 {
		t.Error("it is still there")
	}
	item := dynamo.Key("proxy#default#counts", "foreign")
	item["counts"] = dynamo.Bytes([]byte("{"))
	_, err := f.client.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: aws.String("control"), Item: item})
	f.do(err)
	if _, err := p.Exchange(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "foreign") {
		t.Errorf("a foreign item: %v", err)
	}
}
