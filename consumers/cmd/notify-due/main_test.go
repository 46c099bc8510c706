package main

import (
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/channel/ses"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// TestFunction sends a mail that SES refused an hour ago, and prunes the address that
// then bounces.
func TestFunction(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	server, sdk := channeltest.SES(t)
	roots := filepath.Join(t.TempDir(), "roots.pem")
	must(t, os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	table := db.CreateTable(dynamo.CompositeTable)
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
		"AWS_ENDPOINT_URL_DYNAMODB": db.Endpoint, "AWS_ENDPOINT_URL_SESV2": server.URL, "AWS_CA_BUNDLE": roots,
		"NOTIFICATIONS_TABLE": table, "QUIET_HOURS": "off", "SES_FROM": "news@example.com",
	} {
		t.Setenv(name, value)
	}
	known := store.New(db.Client(nil), table)
	deferMail(t, server, known, ses.Config{AWS: sdk, From: "news@example.com"})
	f, err := newFunction(t.Context())
	must(t, err)
	report, err := f.invoke(t.Context(), []byte(`{"source":"aws.events","detail-type":"Scheduled Event"}`))
	if err != nil || report.(notify.Report)[store.Sent] != 1 || len(server.Accepted("ada@example.com")) != 1 {
		t.Errorf("the sweep: %v, %v", report, err)
	}
	bounce := `{"Records":[{"EventSource":"aws:sns","Sns":{"Message":"{\"eventType\":\"Bounce\",\"bounce\":{` +
		`` +
		`\"bounceType\":\"Permanent\",\"bouncedRecipients\":[{\"emailAddress\":\"ada@example.com\"}],` +
		`\"timestamp\":\"2100-01-01T00:00:00Z\"},\"mail\":{\"tags\":{\"banyan-user\":[\"YWRh\"]}}}"}}]}`
	_, err = f.invoke(t.Context(), []byte(bounce))
	must(t, err)
	if ada, err := known.User(t.Context(), "ada"); err != nil || len(ada.Addresses) != 0 {
		t.Errorf("the address stays: %+v, %v", ada, err)
	}
	for _, payload := range []string{`[]`, `{"Records":[{"kinesis":{}}]}`, `{"source":"aws.ec2"}`} {
		if _, err := f.invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%s is accepted", payload)
		}
	}
}

// deferMail lets SES refuse a mail an hour ago.
func deferMail(t *testing.T, server *channeltest.Server, known *store.Store, cfg ses.Config) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	must(t, known.Register(t.Context(), "ada", channel.Address{Channel: channel.SES, Token: "ada@example.com", Registered: past}))
	news, err := template.Parse("news", []byte(`{channels: [ses], locales: {en: {title: News}}}`))
	must(t, err)
	mail, err := ses.New(cfg)
	must(t, err)
	server.Answer(func(channeltest.Push, int) channeltest.Answer { return channeltest.Answer{Status: 503} })
	engine, err := notify.New(notify.Config{
		Store: known, Templates: template.Set{"news": news}, Channels: map[string]channel.Channel{channel.SES: mail}, Quiet: "off",
		Now: func() time.Time { return past },
	})
	must(t, err)
	r, _, err := engine.Send(t.Context(), notify.Notification{User: "ada", Template: "news", Event: "e1", At: past})
	if err != nil || r.State != store.Deferred {
		t.Fatalf("%+v, %v", r, err)
	}
	server.Answer(nil)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
