package written_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/settings"
	"github.com/banyan-fig/banyan/proxy/written"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(n int) events.Position { return events.Position{Sequence: fmt.Sprint(n)} }

func pending(w *written.Positions, subject string) string {
	return w.Pending(context.Background(), subject, "timeline", events.Position{})
}

// TestTheNewestStays whatever the order in which writes are told: to look and then to add in
// two steps would now and then put an older one in the place of the newest, and whoever told
// that one would not find it.
func TestTheNewestStays(t *testing.T) {
	w := written.New(nil)
	var told atomic.Int64
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 25_000 {
				mine := at(int(told.Add(1)))
				w.Remember(t.Context(), "ann", mine)
				if found := pending(w, "ann"); found < mine.String() {
					t.Errorf("told %s, found %s", mine, found)
					return
				}
			}
		})
	}
	writers.Wait()
}

// TestEachReaderCatchesUpByItself: that one read model has a write says nothing of another,
// nor of a later write.
func TestEachReaderCatchesUpByItself(t *testing.T) {
	w, none := written.New(nil), events.Position{}
	ask := func(reader string) string { return w.Pending(t.Context(), "ann", reader, none) }
	w.Remember(t.Context(), "ann", at(1))
	w.CaughtUp("ann", "timeline", at(1).String())
	if ask("timeline") != "" || ask("profile") != at(1).String() {
		t.Errorf("timeline is asked for %q, profile for %q", ask("timeline"), ask("profile"))
	}
	w.Remember(t.Context(), "ann", at(1)) // told again
	if ask("timeline") != "" {
		t.Error("asked again for what it has shown")
	}
	w.Remember(t.Context(), "ann", at(2))
	w.CaughtUp("ann", "timeline", at(1).String())
	if ask("timeline") != at(2).String() {
		t.Errorf("asked for %q after a second write", ask("timeline"))
	}
	if got := w.Pending(t.Context(), "", "timeline", at(3)); got != "" {
		t.Errorf("nobody's: %q", got)
	}
}

// server is DynamoDB, whose writes a test holds up.
type server struct {
	http.Handler
	mu   sync.Mutex
	gate func(*http.Request) <-chan struct{}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r = r.Clone(context.Background()) // what has arrived takes effect, whoever gave up
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	gate := s.gate
	s.mu.Unlock()
	if gate != nil {
		if wait := gate(r); wait != nil {
			<-wait
		}
	}
	s.Handler.ServeHTTP(w, r)
}

func (s *server) hold(gate func(*http.Request) <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
}

func newServer(t *testing.T) (*server, *awsdynamodb.Client) {
	t.Helper()
	s := &server{Handler: dynamodb.New(dynamodb.Config{})}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return s, awsdynamodb.New(awsdynamodb.Options{
		Region: "eu-west-1", BaseEndpoint: &h.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}

// TestTheNewestStaysInTheTable: a proxy whose request is late by any time replaces nothing
// that another one has stored meanwhile.
func TestTheNewestStaysInTheTable(t *testing.T) {
	s, client := newServer(t)
	if err := dynamo.EnsureTable(t.Context(), client, dynamo.CompositeTable("positions")); err != nil {
		t.Fatal(err)
	}
	proxies := []*written.Positions{
		written.New(written.NewTable(client, "positions")), written.New(written.NewTable(client, "positions")),
		written.New(written.NewTable(client, "positions")),
	}
	release, landed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	inner := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		select {
		case <-release:
			once.Do(func() { close(landed) })
		default:
		}
	})
	s.hold(func(r *http.Request) <-chan struct{} { return release })
	proxies[0].Remember(t.Context(), "ann", at(100)) // gives up before it is stored
	s.hold(nil)
	eventually.True(t, "the newest is stored", func() bool {
		proxies[1].Remember(t.Context(), "ann", at(200))
		return pending(proxies[2], "ann") == at(200).String()
	})
	close(release)
	<-landed // the late one has its answer
	other := written.New(written.NewTable(client, "positions"))
	eventually.True(t, "a read", func() bool { return pending(other, "ann") != "" })
	if got := pending(other, "ann"); got != at(200).String() {
		t.Errorf("stored: %s", got)
	}
	if got := pending(other, "bob"); got != "" {
		t.Errorf("another subject has %s", got)
	}
	if proxies[0].Stats().Slow != 1 {
		t.Errorf("counted: %+v", proxies[0].Stats())
	}
}

// TestTableIsAway: a table that is absent or hangs costs a read a bounded wait and a count,
// and soon not even the wait; what is known here still counts.
func TestTableIsAway(t *testing.T) {
	s, client := newServer(t)
	forever := make(chan struct{})
	defer close(forever)
	for name, gate := range map[string]<-chan struct{}{"absent": nil, "hung": forever} {
		s.hold(func(*http.Request) <-chan struct{} { return gate })
		w := written.New(written.NewTable(client, "none"))
		w.Remember(t.Context(), "ann", at(7))
		for range 6 {
			if got := pending(w, "ann"); got != at(7).String() {
				t.Errorf("%s: %q", name, got)
			}
		}
		// On a busy machine an absent table may be a slow one too.
		if got := w.Stats(); got.Failed+got.Slow < 5 || got.Failed+got.Slow+got.Skipped != 7 || gate != nil && got.Failed > 0 {
			t.Errorf("%s: counted %+v", name, got)
		}
	}
}

// TestOldPositions: what DynamoDB has not deleted yet is none.
func TestOldPositions(t *testing.T) {
	_, client := newServer(t)
	if err := dynamo.EnsureTable(t.Context(), client, dynamo.CompositeTable("positions")); err != nil {
		t.Fatal(err)
	}
	table := "positions"
	for subject, expires := range map[string]time.Time{"ann": time.Now().Add(-time.Minute), "bob": time.Now().Add(time.Hour)} {
		item := dynamo.Key("written#"+subject, "position")
		item["at"], item["expires"] = dynamo.String(at(5).String()), dynamo.Int(expires.Unix())
		if _, err := client.PutItem(t.Context(), &awsdynamodb.PutItemInput{TableName: &table, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
	w := written.New(written.NewTable(client, table))
	eventually.True(t, "bob's", func() bool { return pending(w, "bob") == at(5).String() })
	if got := pending(w, "ann"); got != "" {
		t.Errorf("an hour later: %s", got)
	}
}

const (
	oldKey = "an old key that has thirty-two bytes"
	newKey = "a new key that has thirty-two bytes."
)

func open(t *testing.T, keys string) (*written.Clients, *written.Positions) {
	t.Helper()
	return openWith(t, keys, config.NewSettings())
}

func openWith(t *testing.T, keys string, from *config.Settings) (*written.Clients, *written.Positions) {
	t.Helper()
	t.Cleanup(from.Close)
	w := written.New(nil)
	c, err := written.OpenClients(t.Context(), written.ClientsConfig{
		Cookie: "pos", Header: "Banyan-Position", KeysName: "KEYS", Keys: keys, MaxAge: time.Minute,
	}, w, from, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, w
}

// TestClients: what a client was given comes back, in a cookie or a header, for its subject
// alone, as long as its key counts.
func TestClients(t *testing.T) {
	given := func(c *written.Clients) (cookie, header string) {
		answer := http.Header{}
		c.Give(answer, "ann", at(42), true)
		if !strings.Contains(answer.Get("Set-Cookie"), "; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax") {
			t.Errorf("given as %v", answer)
		}
		cookie, _, _ = strings.Cut(answer.Get("Set-Cookie"), ";")
		return cookie, answer.Get("Banyan-Position")
	}
	before, _ := open(t, oldKey)
	between, positions := open(t, oldKey+"\n"+newKey)
	after, _ := open(t, newKey+"\n"+oldKey)
	over, _ := open(t, newKey)
	cookie, header := given(before)
	_, later := given(after)
	take := func(c *written.Clients, subject, cookie string, headers ...string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Banyan-Position"] = headers
		if cookie != "" {
			r.Header.Set("Cookie", "a=b; "+cookie)
		}
		return c.Take(r, subject).String()
	}
	want := at(42).String()
	for name, c := range map[string]struct{ got, want string }{
		"the cookie":                {take(before, "ann", cookie), want},
		"the header":                {take(before, "ann", "", header), want},
		"a new key below":           {take(between, "ann", cookie), want},
		"the new one on top":        {take(after, "ann", cookie), want},
		"signed with the new one":   {take(between, "ann", "", later), want},
		"the old one removed":       {take(over, "ann", cookie), ""},
		"another's":                 {take(before, "bob", cookie, header), ""},
		"nobody's":                  {take(before, "", cookie, header), ""},
		"of two, the one that is":   {take(before, "ann", cookie, "x."+header), want},
		"another position":          {take(before, "ann", "", strings.Replace(header, "42.", "43.", 1)), ""},
		"without a signature":       {take(before, "ann", "", want), ""},
		"with an empty one":         {take(before, "ann", "", want+"."), ""},
		"with that of another text": {take(before, "ann", "", "."+header[strings.LastIndex(header, ".")+1:]), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q", name, c.got)
		}
	}
	take(between, "bob", cookie, header)
	if got := positions.Stats().Refused; got != 2 { // all before were good
		t.Errorf("%d refused", got)
	}
}

// TestKeysAreFollowed: the keys that a reference refers to are followed while positions come.
func TestKeysAreFollowed(t *testing.T) {
	server := httptest.NewServer(settings.NewParameters(settings.Config{}))
	t.Cleanup(server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	store := ssm.New(ssm.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
	const name = "/banyan/prod/the-keys-of-positions"
	put := func(keys string) {
		t.Helper()
		in := &ssm.PutParameterInput{Name: aws.String(name), Value: &keys, Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)}
		if _, err := store.PutParameter(t.Context(), in); err != nil {
			t.Fatal(err)
		}
	}
	put(oldKey)
	reader, err := config.New(config.Config{
		Parameters: store, Secrets: struct{ config.Secrets }{}, TTL: 5 * time.Millisecond, Gap: time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	c, _ := openWith(t, "ssm:"+name, config.WithClient(reader))
	takes := func(from *written.Clients) bool {
		answer, r := http.Header{}, httptest.NewRequest("GET", "/", nil)
		from.Give(answer, "ann", at(1), false)
		r.Header["Banyan-Position"] = answer["Banyan-Position"]
		return !c.Take(r, "ann").IsZero()
	}
	old, _ := open(t, oldKey)
	next, _ := open(t, newKey)
	if !takes(old) || takes(next) {
		t.Error("the key is not the one that is referred to")
	}
	put(oldKey + "\n" + newKey)
	eventually.True(t, "the new key", func() bool { return takes(next) })
	if !takes(old) {
		t.Error("the old key counts no more")
	}
	put(newKey)
	eventually.True(t, "the end of the old key", func() bool { return !takes(old) })
}

// TestKeysAreChecked: neither a short key nor a reference that names nothing is one.
func TestKeysAreChecked(t *testing.T) {
	for value, ok := range map[string]bool{oldKey: true, oldKey + "\n" + newKey: true, "ssm:/a": true, "": false, "short": false, "ssm:": false} {
		if err := written.CheckKeys(value); (err == nil) != ok {
			t.Errorf("%q: %v", value, err)
		}
	}
}

// TestUpstreamsDoNotSeeIt: nothing else of a head is changed.
func TestUpstreamsDoNotSeeIt(t *testing.T) {
	c, _ := open(t, oldKey)
	for before, after := range map[string]string{
		"a=b;c=d ; e": "a=b;c=d ; e", "pos=1": "", "a=b; pos=1": "a=b", "pos=1; a=b": "a=b", "a=b; pos=1; c=pos": "a=b; c=pos", "posx=1": "posx=1",
	} {
		in := http.Header{"Cookie": {before}, "Banyan-Position": {"x"}, "Other": {"y"}}
		want := http.Header{"Other": {"y"}}
		if after != "" {
			want["Cookie"] = []string{after}
		}
		out := in.Clone()
		out["Cookie"] = in["Cookie"] // shared, as the proxy's is
		c.Hide(out)
		if d := cmp.Diff(want, out); d != "" || in.Get("Cookie") != before {
			t.Errorf("%q: -want +got\n%s", before, d)
		}
	}
}
