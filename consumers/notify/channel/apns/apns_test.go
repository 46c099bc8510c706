package apns_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/apns"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"

func newChannel(t testing.TB) (*apns.Channel, *channeltest.Server) {
	t.Helper()
	server, key := channeltest.APNs(t)
	c, err := apns.New(apns.Config{
		Key: key, KeyID: channeltest.APNsKeyID, TeamID: channeltest.APNsTeamID, Topic: channeltest.APNsTopic, Host: server.URL, TLS: server.ClientTLS(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, server
}

func TestSend(t *testing.T) {
	c, server := newChannel(t)
	m := channeltest.Message()
	m.Urgent, m.Expires = true, time.Unix(2_000_000_000, 0)
	if err := c.Send(t.Context(), channel.Address{Token: token}, m); err != nil {
		t.Fatal(err)
	}
	got := server.Accepted(token)[0]
	if got.Title != m.Title || got.Body != m.Body || got.Data["screen"] != "profile/bob" || got.Collapse != m.CollapseID() {
		t.Errorf("sent %+v", got)
	}
	if got.Header.Get("apns-priority") != "10" || got.Header.Get("apns-expiration") != "2000000000" {
		t.Errorf("headers %v", got.Header)
	}
}

// TestVerdicts are those of Apple's table of reasons.
func TestVerdicts(t *testing.T) {
	c, server := newChannel(t)
	for _, test := range []struct {
		answer channeltest.Answer
		want   channel.Error
	}{
		{channeltest.Answer{Status: 410, Body: `{"reason":"Unregistered","timestamp":1700000000500}`}, channel.Error{Verdict: channel.Gone, Since: time.UnixMilli(1700000000999)}},
		{channeltest.Answer{Status: 400, Body: `{"reason":"BadDeviceToken"}`}, channel.Error{Verdict: channel.Rejected}},
		{channeltest.Answer{Status: 400, Body: `{"reason":"TopicDisallowed"}`}, channel.Error{Verdict: channel.Denied}},
		{channeltest.Answer{Status: 403, Body: `{"reason":"InvalidProviderToken"}`}, channel.Error{Verdict: channel.Denied}},
		{channeltest.Answer{Status: 429, Body: `{"reason":"TooManyRequests"}`, Header: map[string]string{"Retry-After": "7"}},
			channel.Error{Verdict: channel.Refused, After: 7 * time.Second}},
		{channeltest.Answer{Status: 503, Body: `{"reason":"Shutdown"}`}, channel.Error{Verdict: channel.Refused}},
		{channeltest.Answer{Status: 500, Body: `{"reason":"InternalServerError"}`}, channel.Error{Verdict: channel.Unknown}},
		{channeltest.Answer{Status: 502, Body: `<html>`}, channel.Error{Verdict: channel.Unknown}},
		{channeltest.Answer{Lost: true}, channel.Error{Verdict: channel.Unknown}},
	} {
		server.Answer(func(channeltest.Push, int) channeltest.Answer { return test.answer })
		err := c.Send(t.Context(), channel.Address{Token: token}, channeltest.Message())
		got, ok := errors.AsType[*channel.Error](err)
		if !ok || got.Verdict != test.want.Verdict || got.After != test.want.After || !got.Since.Equal(test.want.Since) {
			t.Errorf("%+v: %v, want %+v", test.answer, err, test.want)
		}
		if ok && strings.Contains(err.Error(), token) {
			t.Errorf("the error shows the token: %v", err)
		}
	}
}

// TestGoawayLosesNothing: the server closes connections by GOAWAY while messages are sent,
// and each arrives once.
func TestGoawayLosesNothing(t *testing.T) {
	c, server := newChannel(t)
	server.Answer(func(_ channeltest.Push, nth int) channeltest.Answer { return channeltest.Answer{Last: nth%5 == 0} })
	for i := range 20 {
		if err := c.Send(t.Context(), channel.Address{Token: token}, channeltest.Message()); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if n := len(server.Accepted(token)); n != 20 {
		t.Errorf("%d of 20 messages arrived", n)
	}
}

// TestNotSentIsRefused: what did not leave is safe to send again, whatever the delivery.
func TestNotSentIsRefused(t *testing.T) {
	c, server := newChannel(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Send(ended, channel.Address{Token: token}, channeltest.Message()); channel.VerdictOf(err).Verdict != channel.Refused {
		t.Errorf("after the end: %v", err)
	}
	server.Close()
	if err := c.Send(t.Context(), channel.Address{Token: token}, channeltest.Message()); channel.VerdictOf(err).Verdict != channel.Refused {
		t.Errorf("without a server: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	c, server := newChannel(t)
	long := channeltest.Message()
	long.Body = strings.Repeat("x", apns.MaxPayload)
	for name, err := range map[string]error{
		"a token that leads elsewhere": c.Send(t.Context(), channel.Address{Token: "../3/device/ab"}, channeltest.Message()),
		"a long text":                  c.Send(t.Context(), channel.Address{Token: token}, long),
	} {
		if channel.VerdictOf(err).Verdict != channel.Rejected || server.Tried(token) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := apns.New(apns.Config{Key: "secret", KeyID: "a", TeamID: "b", Topic: "c"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("a key that is none: %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-5": 0, "5": 5 * time.Second, "9999999": channel.MaxRetryAfter,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := channel.RetryAfter(http.Header{"Retry-After": {text}}, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
