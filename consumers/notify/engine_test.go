package notify_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/events"
)

func TestSendsOnceToEveryDevice(t *testing.T) {
	w := newWorld(t, nil, nil)
	phone, tablet := w.device("ada", 1), w.device("ada", 2)
	must(t, w.store.SaveSettings(t.Context(), "ada", store.Settings{Locale: "de-AT"}))
	for range 3 {
		w.expect(store.Sent, "ada", "follow", "e1")
	}
	w.accepted(phone, 1)
	w.accepted(tablet, 1)
	if title := w.apns.Accepted(phone)[0].Title; title != "Bob folgt dir" {
		t.Errorf("the title is %q", title)
	}
	w.expect(store.Suppressed, "bob", "follow", "e1") // has no address
}

func TestWhatWasSentCanBeAsked(t *testing.T) {
	w := newWorld(t, nil, nil)
	w.device("ada", 1)
	for i, event := range []string{"e1", "e2", "e3"} {
		n := w.notification("ada", "follow", event)
		n.At = noon.Add(time.Duration(i) * time.Second)
		_, _, err := w.Send(t.Context(), n)
		must(t, err)
	}
	var got []string
	for before, pages := "", 0; pages == 0 || before != ""; pages++ {
		records, next, err := w.store.Sent(t.Context(), "ada", before, 2)
		must(t, err)
		for _, r := range records {
			got = append(got, r.Event)
			if r.State != store.Sent || len(r.Results) != 1 {
				t.Errorf("%+v", r)
			}
		}
		before = next
	}
	if !slices.Equal(got, []string{"e3", "e2", "e1"}) {
		t.Errorf("listed %v", got)
	}
}

func TestOptOut(t *testing.T) {
	w := newWorld(t, nil, nil)
	token := w.device("ada", 1)
	for i, out := range []string{"*", "follow", channel.APNs} {
		must(t, w.store.SaveSettings(t.Context(), "ada", store.Settings{OptOut: []string{out}}))
		w.expect(store.Suppressed, "ada", "follow", string(rune('a'+i)))
	}
	must(t, w.store.SaveSettings(t.Context(), "ada", store.Settings{}))
	w.expect(store.Suppressed, "ada", "follow", "a") // it was decided
	w.accepted(token, 0)
}

// TestQuietHours: deferred until the user's morning, where it is sent unless the user has
// opted out meanwhile; what is urgent is sent at once.
func TestQuietHours(t *testing.T) {
	w := newWorld(t, nil, nil)
	token, other := w.device("ada", 1), w.device("bob", 1)
	for _, user := range []string{"ada", "bob"} {
		must(t, w.store.SaveSettings(t.Context(), user, store.Settings{Zone: "Asia/Tokyo", Quiet: "20:00-08:00"})) // noon is 21:00 there
		w.expect(store.Deferred, user, "follow", "e1")
		w.expect(store.Deferred, user, "follow", "e1")
	}
	w.expect(store.Sent, "ada", "code", "e1")
	w.accepted(token, 1)
	w.pass(10 * time.Hour)
	w.sweep("", 0)
	must(t, w.store.SaveSettings(t.Context(), "bob", store.Settings{OptOut: []string{"*"}}))
	w.pass(time.Hour + notify.DefaultSpread)
	report, err := w.Sweep(t.Context())
	if err != nil || report[store.Sent] != 1 || report[store.Suppressed] != 1 {
		t.Errorf("in the morning: %v, %v", report, err)
	}
	w.sweep("", 0)
	w.accepted(token, 2)
	w.accepted(other, 0)
	w.expect(store.Sent, "ada", "follow", "e1")
}

func TestLimit(t *testing.T) {
	w := newWorld(t, nil, func(c *notify.Config) { c.Limit = store.Limit{Burst: 2, Every: time.Minute} })
	token := w.device("ada", 1)
	w.expect(store.Sent, "ada", "follow", "e1")
	w.expect(store.Sent, "ada", "follow", "e1") // does not count
	w.expect(store.Sent, "ada", "follow", "e2")
	w.expect(store.Suppressed, "ada", "follow", "e3")
	w.expect(store.Sent, "ada", "code", "e3")
	w.pass(time.Minute)
	w.expect(store.Sent, "ada", "follow", "e4")
	w.expect(store.Suppressed, "ada", "follow", "e5")
	w.accepted(token, 4)
}

// TestInvalidTokensArePruned, unless they were registered after the provider last knew.
func TestInvalidTokensArePruned(t *testing.T) {
	w := newWorld(t, nil, nil)
	w.device("ada", 1)
	gone := func(at time.Time) {
		body := `{"reason":"Unregistered","timestamp":` + ms(at) + `}`
		w.apns.Answer(func(channeltest.Push, int) channeltest.Answer { return channeltest.Answer{Status: 410, Body: body} })
	}
	gone(noon.Add(-time.Hour)) // the app has registered it again since
	w.expect(store.Failed, "ada", "follow", "e1")
	user, err := w.store.User(t.Context(), "ada")
	if err != nil || len(user.Addresses) != 1 {
		t.Errorf("it was registered later: %+v, %v", user, err)
	}
	gone(noon.Add(time.Second))
	w.expect(store.Failed, "ada", "follow", "e2")
	w.expect(store.Suppressed, "ada", "follow", "e3")
}

// TestProviderInTrouble: what it refuses is deferred for as long as it asks, goes only to
// the devices that did not get it, and is given up when it is too late.
func TestProviderInTrouble(t *testing.T) {
	w := newWorld(t, nil, nil)
	well, ill := w.device("ada", 1), w.device("ada", 2)
	w.apns.Answer(func(p channeltest.Push, nth int) channeltest.Answer {
		if p.Token == ill && nth == 1 {
			return channeltest.Answer{Status: 503, Header: map[string]string{"Retry-After": "600"}}
		}
		return channeltest.Answer{}
	})
	w.expect(store.Deferred, "ada", "follow", "e1")
	w.expect(store.Deferred, "ada", "follow", "e1")
	w.pass(599 * time.Second)
	w.sweep("", 0)
	w.pass(2 * time.Second)
	w.sweep(store.Sent, 1)
	w.accepted(well, 1)
	w.accepted(ill, 1)

	w.apns.Answer(func(channeltest.Push, int) channeltest.Answer { return channeltest.Answer{Status: 503} })
	if r := w.expect(store.Deferred, "ada", "follow", "e2"); r.Attempts != 1 {
		t.Errorf("%+v", r)
	}
	for range 26 {
		w.pass(time.Hour)
		_, err := w.Sweep(t.Context())
		must(t, err)
	}
	w.expect(store.Failed, "ada", "follow", "e2")
	w.sweep("", 0)
}

// TestLostAnswer: the template decides whether what may have been sent is sent again.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t, nil, nil)
	token := w.device("ada", 1)
	w.apns.Answer(func(_ channeltest.Push, nth int) channeltest.Answer { return channeltest.Answer{Lost: nth <= 2} })
	w.expect(store.Deferred, "ada", "follow", "e1")
	w.expect(store.Uncertain, "ada", "once", "e1")
	w.pass(time.Minute)
	w.sweep(store.Sent, 1)
	w.expect(store.Uncertain, "ada", "once", "e1")
	w.accepted(token, 3)
	all := w.apns.Accepted(token)
	if all[0].Collapse != all[2].Collapse || all[0].Collapse == all[1].Collapse {
		t.Errorf("a device cannot tell that these are one: %v", all)
	}
}

// TestCrashWhileSending: the process dies between the claim and the outcome. Until the
// lease is over nobody sends; then the template decides.
func TestCrashWhileSending(t *testing.T) {
	faults := streamtest.NewFaults(0, 0)
	w := newWorld(t, faults, nil)
	token := w.device("ada", 1)
	for i, name := range []string{"follow", "once"} {
		before := len(w.apns.Accepted(token))
		live := faults.Next
		faults.Next = deadAfter{live, func() bool { return len(w.apns.Accepted(token)) > before }}
		_, err := w.send("ada", name, "e1")
		faults.Next = live
		if err == nil || len(w.apns.Accepted(token)) != before+1 {
			t.Fatalf("%d: the process did not die after sending: %v", i, err)
		}
		if _, err := w.send("ada", name, "e1"); !errors.Is(err, notify.ErrClaimed) {
			t.Errorf("%s within the lease: %v", name, err)
		}
	}
	w.pass(notify.DefaultLease)
	w.expect(store.Sent, "ada", "follow", "e1")
	w.expect(store.Uncertain, "ada", "once", "e1")
	w.accepted(token, 3)
}

func TestHandler(t *testing.T) {
	w := newWorld(t, nil, nil)
	token := w.device("ada", 1)
	message := func(id string) consumers.Message {
		return consumers.Message{Event: events.Event{ID: id, Type: "order.shipped", Time: noon}}
	}
	handle := w.Handler(func(m consumers.Message) []notify.Notification {
		n := notify.Notification{User: "ada", Template: "follow", Members: map[string]string{"who": "Bob"}}
		switch m.Event.ID {
		case "nobody":
			return nil
		case "unknown template":
			return []notify.Notification{{User: "ada", Template: "none"}, n}
		case "missing member":
			n.Members = nil
		case "everybody":
			return slices.Repeat([]notify.Notification{n}, notify.MaxPerEvent+1)
		}
		return []notify.Notification{n}
	})
	for _, test := range []struct {
		id        string
		stale     bool
		permanent bool
	}{
		{"e1", false, false}, {"e1", true, false}, {"nobody", false, false},
		{"unknown template", false, true}, {"missing member", false, true}, {"everybody", false, true},
	} {
		err := handle(t.Context(), message(test.id))
		if errors.Is(err, consumers.ErrStale) != test.stale || consumers.IsPermanent(err) != test.permanent || (err != nil) != (test.stale || test.permanent) {
			t.Errorf("%s: %v", test.id, err)
		}
	}
	w.accepted(token, 2) // of e1, and beside the unknown template
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := handle(ended, message("e9")); !consumers.IsUnavailable(err) {
		t.Errorf("without a table: %v", err)
	}
}

// deadAfter reaches the table until something happened.
type deadAfter struct {
	http.RoundTripper
	happened func() bool
}

func (d deadAfter) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.happened() {
		return nil, errors.New("the process is dead")
	}
	return d.RoundTripper.RoundTrip(r)
}

func ms(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }
