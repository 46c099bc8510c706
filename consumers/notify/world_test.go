package notify_test

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/apns"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// templates are those of the tests; noon is when their events happened.
var (
	templates = fstest.MapFS{
		"follow.yaml": {Data: []byte(`{channels: [apns], members: [who],
			locales: {en: {title: "{{.who}} follows you"}, de: {title: "{{.who}} folgt dir"}}, default: en}`)},
		"once.yaml": {Data: []byte(`{channels: [apns], delivery: at-most-once, urgent: true, locales: {en: {title: Paid}}}`)},
		"code.yaml": {Data: []byte(`{channels: [apns], urgent: true, ttl: 10m, locales: {en: {title: Your code}}}`)},
	}
	noon = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
)

// world is an engine over a table, an APNs and a clock.
type world struct {
	*notify.Engine
	t     *testing.T
	store *store.Store
	apns  *channeltest.Server
	cfg   notify.Config

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T, faults *streamtest.Faults, change func(*notify.Config)) *world {
	t.Helper()
	db := streamtest.NewDynamoDB(t)
	server, key := channeltest.APNs(t)
	push, err := apns.New(apns.Config{
		Key: key, KeyID: channeltest.APNsKeyID, TeamID: channeltest.APNsTeamID, Topic: channeltest.APNsTopic, Host: server.URL, TLS: server.ClientTLS(),
	})
	must(t, err)
	t.Cleanup(push.Close)
	set, err := template.Load(templates)
	must(t, err)
	table := db.CreateTable(dynamo.CompositeTable)
	w := &world{t: t, apns: server, now: noon, store: store.New(db.Client(nil), table)}
	w.cfg = notify.Config{
		Store: store.New(db.Client(faults), table), Templates: set, Channels: map[string]channel.Channel{channel.APNs: push},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: w.clock,
	}
	if change != nil {
		change(&w.cfg)
	}
	w.Engine, err = notify.New(w.cfg)
	must(t, err)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// device registers the nth device of a user and returns its token.
func (w *world) device(user string, nth int) string {
	w.t.Helper()
	token := fmt.Sprintf("%x", fmt.Sprintf("%s/%d", user, nth))
	must(w.t, w.store.Register(w.t.Context(), user, channel.Address{Channel: channel.APNs, Token: token, Registered: w.clock()}))
	return token
}

// send sends a notification of an event of now.
func (w *world) send(user, name, event string) (store.Record, error) {
	r, _, err := w.Send(w.t.Context(), w.notification(user, name, event))
	return r, err
}

func (w *world) notification(user, name, event string) notify.Notification {
	return notify.Notification{User: user, Template: name, Event: event, At: noon, Members: map[string]string{"who": "Bob"}}
}

// expect sends, and expects a state.
func (w *world) expect(want store.State, user, name, event string) store.Record {
	w.t.Helper()
	r, err := w.send(user, name, event)
	if err != nil || r.State != want {
		w.t.Errorf("%s of %s to %s: %s (%s), %v, want %s", name, event, user, r.State, r.Why, err, want)
	}
	return r
}

// sweep expects a sweep to do so many of one state, and nothing else.
func (w *world) sweep(want store.State, n int) {
	w.t.Helper()
	report, err := w.Sweep(w.t.Context())
	if err != nil || n > 0 && (len(report) != 1 || report[want] != n) || n == 0 && len(report) != 0 {
		w.t.Errorf("the sweep did %v, %v, want %d %s", report, err, n, want)
	}
}

func (w *world) accepted(token string, want int) {
	w.t.Helper()
	if n := len(w.apns.Accepted(token)); n != want {
		w.t.Errorf("the device was sent %d messages, want %d", n, want)
	}
}
