package ses_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/channel/ses"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ada = "ada@example.com"

func newChannel(t testing.TB) (*ses.Channel, *channeltest.Server) {
	t.Helper()
	server, cfg := channeltest.SES(t)
	c, err := ses.New(ses.Config{AWS: cfg, From: "Shop <news@example.com>", ConfigurationSet: "bounces"})
	if err != nil {
		t.Fatal(err)
	}
	return c, server
}

func TestSend(t *testing.T) {
	c, server := newChannel(t)
	m := channeltest.Message()
	m.HTML = "<p>Bob</p>"
	if err := c.Send(t.Context(), channel.Address{Token: ada}, m); err != nil {
		t.Fatal(err)
	}
	if got := server.Accepted(ada)[0]; got.Title != m.Title || got.Body != m.Body || got.HTML != m.HTML || got.Data["banyan-user"] != "YWRh" {
		t.Errorf("sent %+v", got)
	}
}

// TestVerdicts are those of the errors of SendEmail. Each is one request: the client does
// not retry by itself.
func TestVerdicts(t *testing.T) {
	c, server := newChannel(t)
	for i, test := range []struct {
		status int
		code   string
		want   channel.Verdict
	}{
		{429, "TooManyRequestsException", channel.Refused}, {400, "LimitExceededException", channel.Refused},
		{400, "AccountSuspendedException", channel.Denied}, {400, "SendingPausedException", channel.Denied}, {404, "NotFoundException", channel.Denied},
		{403, "AccessDeniedException", channel.Denied}, {400, "MessageRejected", channel.Rejected}, {400, "BadRequestException", channel.Rejected},
		{503, "ServiceUnavailable", channel.Refused}, {500, "InternalFailure", channel.Unknown}, {0, "", channel.Unknown},
	} {
		server.Answer(func(channeltest.Push, int) channeltest.Answer {
			return channeltest.Answer{Status: test.status, Lost: test.status == 0, Body: `{"message":"ada@example.com"}`,
				Header: map[string]string{"X-Amzn-Errortype": test.code, "Retry-After": "3"}}
		})
		err := c.Send(t.Context(), channel.Address{Token: ada}, channeltest.Message())
		got, ok := errors.AsType[*channel.Error](err)
		if !ok || got.Verdict != test.want || test.status == 429 && got.After != 3*time.Second || server.Tried(ada) != i+1 {
			t.Errorf("%d %s: %v after %d requests, want %s", test.status, test.code, err, server.Tried(ada), test.want)
		}
		if ok && strings.Contains(err.Error(), ada) {
			t.Errorf("the error shows the address: %v", err)
		}
	}
}

func TestRefusals(t *testing.T) {
	c, server := newChannel(t)
	for _, to := range []string{"ada", "Ada <ada@example.com>", "a@b.example, c@d.example", "a@b.example\nBcc: c@d.example"} {
		if err := c.Send(t.Context(), channel.Address{Token: to}, channeltest.Message()); channel.VerdictOf(err).Verdict != channel.Rejected || server.Count() != 0 {
			t.Errorf("%q: %v", to, err)
		}
	}
	if _, err := ses.New(ses.Config{From: "nobody"}); err == nil {
		t.Error("a sender that is none is accepted")
	}
}

// TestBounces are events in the form of AWS's documentation.
func TestBounces(t *testing.T) {
	const recipients = `[{"emailAddress":"a@b.example"}],"timestamp":"2026-07-01T12:00:00.000Z"}`
	const mail = `"mail":{"tags":{"banyan-user":["YWRh"],"ses:from-domain":["example.com"]}}`
	for event, want := range map[string]string{
		`{"eventType":"Bounce","bounce":{"bounceType":"Permanent","bouncedRecipients":` + recipients + `,` + mail + `}`: "ada a@b.example",
		`{"eventType":"Bounce","bounce":{"bounceType":"Transient","bouncedRecipients":` + recipients + `,` + mail + `}`: "",
		`{"notificationType":"Complaint","complaint":{"complainedRecipients":` + recipients + `}`:                       " a@b.example",
		`{"eventType":"Delivery",` + mail + `}`: "",
	} {
		all, err := ses.Bounces([]byte(event))
		if err != nil || len(all) != min(len(want), 1) {
			t.Errorf("%s: %v, %v", event, all, err)
			continue
		}
		if len(all) == 1 && (all[0].User+" "+all[0].Address.Token != want || !all[0].At.Equal(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))) {
			t.Errorf("%s: %+v", event, all[0])
		}
	}
	if _, err := ses.Bounces([]byte("x")); err == nil {
		t.Error("an event that is none is accepted")
	}
}
