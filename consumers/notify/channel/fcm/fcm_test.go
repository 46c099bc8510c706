package fcm_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/channel/fcm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newChannel(t testing.TB) (*fcm.Channel, *channeltest.Server) {
	t.Helper()
	server, credentials := channeltest.FCM(t)
	c, err := fcm.New(fcm.Config{Credentials: credentials, Host: server.URL, TLS: server.ClientTLS()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, server
}

// TestSend: many at once share one access token.
func TestSend(t *testing.T) {
	c, server := newChannel(t)
	m := channeltest.Message()
	m.Urgent, m.Expires = true, time.Now().Add(time.Hour)
	var several sync.WaitGroup
	for range 20 {
		several.Go(func() {
			if err := c.Send(t.Context(), channel.Address{Token: "device"}, m); err != nil {
				t.Error(err)
			}
		})
	}
	several.Wait()
	all := server.Accepted("device")
	if len(all) != 20 {
		t.Fatalf("%d of 20 arrived", len(all))
	}
	got := all[0]
	if got.Title != m.Title || got.Body != m.Body || got.Data["screen"] != "profile/bob" || got.Collapse != m.CollapseID() {
		t.Errorf("sent %+v", got)
	}
	if ttl := got.Header.Get("Test-TTL"); got.Header.Get("Test-Priority") != "HIGH" || ttl != "3599s" && ttl != "3600s" {
		t.Errorf("headers %v", got.Header)
	}
}

// TestVerdicts are those of the API's table of error codes.
func TestVerdicts(t *testing.T) {
	c, server := newChannel(t)
	detail := func(status, code string) string {
		return `{"error":{"status":"` + status + `","message":"m","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"` + code + `"}]}}`
	}
	for _, test := range []struct {
		answer channeltest.Answer
		want   channel.Verdict
		after  time.Duration
	}{
		{channeltest.Answer{Status: 404, Body: detail("NOT_FOUND", "UNREGISTERED")}, channel.Gone, 0},
		{channeltest.Answer{Status: 404, Body: `{"error":{"status":"NOT_FOUND"}}`}, channel.Rejected, 0},
		{channeltest.Answer{Status: 400, Body: detail("INVALID_ARGUMENT", "INVALID_ARGUMENT")}, channel.Rejected, 0},
		{channeltest.Answer{Status: 403, Body: detail("PERMISSION_DENIED", "SENDER_ID_MISMATCH")}, channel.Rejected, 0},
		{channeltest.Answer{Status: 401, Body: detail("UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR")}, channel.Denied, 0},
		{channeltest.Answer{Status: 429, Body: detail("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
			Header: map[string]string{"Retry-After": "60"}}, channel.Refused, time.Minute},
		{channeltest.Answer{Status: 503, Body: detail("UNAVAILABLE", "UNAVAILABLE")}, channel.Refused, 0},
		{channeltest.Answer{Status: 500, Body: `<html>`}, channel.Unknown, 0},
		{channeltest.Answer{Lost: true}, channel.Unknown, 0},
	} {
		server.Answer(func(channeltest.Push, int) channeltest.Answer { return test.answer })
		err := c.Send(t.Context(), channel.Address{Token: "device"}, channeltest.Message())
		if got, ok := errors.AsType[*channel.Error](err); !ok || got.Verdict != test.want || got.After != test.after {
			t.Errorf("%+v: %v, want %s after %v", test.answer, err, test.want, test.after)
		}
	}
}

func TestRefusals(t *testing.T) {
	c, server := newChannel(t)
	long := channeltest.Message()
	long.Body = strings.Repeat("x", 6000)
	if err := c.Send(t.Context(), channel.Address{Token: "device"}, long); channel.VerdictOf(err).Verdict != channel.Rejected || server.Tried("device") != 0 {
		t.Errorf("a long text: %v", err)
	}
	for _, credentials := range []string{"secret", `{"type":"authorized_user","private_key":"secret"}`, `{"type":"service_account","private_key":"secret"}`} {
		if _, err := fcm.New(fcm.Config{Credentials: credentials}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", credentials, err)
		}
	}
}
