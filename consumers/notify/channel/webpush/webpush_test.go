package webpush_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/channel/webpush"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newChannel(t testing.TB, private bool) (*webpush.Channel, *channeltest.Server, channel.Address) {
	t.Helper()
	server, subscription, key := channeltest.WebPush(t)
	c, err := webpush.New(webpush.Config{Key: key, Subject: "mailto:ops@example.com", Private: private, TLS: server.ClientTLS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, server, subscription
}

// TestSend: the browser decrypts what was sent.
func TestSend(t *testing.T) {
	c, server, to := newChannel(t, true)
	m := channeltest.Message()
	m.Urgent, m.Expires = true, time.Now().Add(time.Hour)
	if err := c.Send(t.Context(), to, m); err != nil {
		t.Fatal(err)
	}
	got := server.Accepted("/push/1")[0]
	if got.Title != m.Title || got.Body != m.Body || got.Data["screen"] != "profile/bob" || got.Collapse != m.CollapseID() {
		t.Errorf("sent %+v", got)
	}
	if ttl := got.Header.Get("TTL"); got.Header.Get("Urgency") != "high" || ttl != "3599" && ttl != "3600" {
		t.Errorf("headers %v", got.Header)
	}
}

func TestVerdicts(t *testing.T) {
	c, server, to := newChannel(t, true)
	for status, want := range map[int]channel.Verdict{
		404: channel.Gone, 410: channel.Gone, 400: channel.Rejected, 413: channel.Rejected, 403: channel.Denied,
		307: channel.Rejected, 429: channel.Refused, 503: channel.Refused, 500: channel.Unknown, 0: channel.Unknown,
	} {
		server.Answer(func(channeltest.Push, int) channeltest.Answer {
			return channeltest.Answer{Status: status, Lost: status == 0, Header: map[string]string{"Retry-After": "9", "Location": "https://127.0.0.1:1/"}}
		})
		err := c.Send(t.Context(), to, channeltest.Message())
		got, ok := errors.AsType[*channel.Error](err)
		if !ok || got.Verdict != want || status == 429 && got.After != 9*time.Second {
			t.Errorf("%d: %v, want %s", status, err, want)
		}
		if ok && strings.Contains(err.Error(), server.URL) {
			t.Errorf("the error shows the endpoint: %v", err)
		}
	}
}

// TestEndpointsAreAnybodys: a browser's word does not send requests into our network.
func TestEndpointsAreAnybodys(t *testing.T) {
	c, server, to := newChannel(t, false)
	for _, endpoint := range []string{
		to.Token, "http://push.example/1", "file:///etc/passwd", "https://user@push.example/1",
		"https://169.254.169.254/latest", "https://[::1]/", "https://10.0.0.1/", "https://[::ffff:127.0.0.1]/", "https://100.64.0.1/",
	} {
		other := to
		other.Token = endpoint
		if err := c.Send(t.Context(), other, channeltest.Message()); channel.VerdictOf(err).Verdict != channel.Rejected {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	if server.Count() != 0 {
		t.Error("a message arrived")
	}
}

func TestRefusals(t *testing.T) {
	c, server, to := newChannel(t, true)
	long := channeltest.Message()
	long.Body = strings.Repeat("x", 4096)
	other := to
	other.P256dh = "AAAA"
	for name, err := range map[string]error{
		"a long text": c.Send(t.Context(), to, long), "keys that are none": c.Send(t.Context(), other, channeltest.Message()),
	} {
		if channel.VerdictOf(err).Verdict != channel.Rejected || server.Count() != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, cfg := range []webpush.Config{{Key: "secret!", Subject: "a@b"}, {Key: "c2VjcmV0", Subject: "a@b"}} {
		if _, err := webpush.New(cfg); err == nil || strings.Contains(err.Error(), cfg.Key) {
			t.Errorf("%v: %v", cfg, err)
		}
	}
}
