package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/serving/servingtest"
)

func TestReference(t *testing.T) { servingtest.Reference(t, newCommand()) }

// run returns the exit code and what was printed.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	code = newCommand().Execute(t.Context(), args, &out, &log)
	return code, out.String(), log.String()
}

func write(t *testing.T, folder, name, text string) string {
	t.Helper()
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCommand sends lists of tokens and of users to a server of APNs, and asks what was sent.
func TestCommand(t *testing.T) {
	db := streamtest.NewDynamoDB(t)
	server, key := channeltest.APNs(t)
	folder := t.TempDir()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	table := db.CreateTable(dynamo.CompositeTable)
	for name, value := range map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL_DYNAMODB": db.Endpoint,
		"APNS_KEY": key, "APNS_KEY_ID": channeltest.APNsKeyID, "APNS_TEAM_ID": channeltest.APNsTeamID, "APNS_TOPIC": channeltest.APNsTopic,
		"APNS_HOST": server.URL, "SSL_CERT_FILE": write(t, folder, "roots.pem", string(certificate)), "NOTIFICATIONS_TABLE": table, "QUIET_HOURS": "off",
	} {
		t.Setenv(name, value)
	}
	write(t, folder, "news.yaml", `{channels: [apns], members: [who], locales: {en: {title: "News of {{.who}}"}}}`)
	tokens := write(t, folder, "tokens.csv", "channel,token,who\napns,aa,Bob\napns,bb,Bob\n")
	users := write(t, folder, "users.ndjson", `{"user":"ada","members":{"who":"Bob"}}`)
	phone := channel.Address{Channel: channel.APNs, Token: "cc", Registered: time.Now()}
	if err := store.New(db.Client(nil), table).Register(t.Context(), "ada", phone); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args string
		code int
		want string
		sent int // in all
	}{
		{"send --list " + tokens + " --template news --dry-run", 0, `"ready":2`, 0},
		{"send --list " + tokens + " --template none", 2, "has no template none", 0},
		{"send --list " + tokens + " --template news --batch 0", 2, "--batch 1 to", 0},
		{"send --list " + tokens + " --template news", 0, `"sent":2`, 2},
		{"send --list " + tokens + " --template news", 1, "has been sent", 2},
		{"send --list " + users + " --template news --users", 0, `"sent":1`, 3},
		{"sent ada", 0, `"template":"news"`, 3},
		{"sent nobody", 0, "", 3},
		{"due", 0, "{}", 3},
	} {
		args := strings.Fields(test.args)
		if args[0] == "send" {
			args = append(args, "--templates", folder)
		}
		code, stdout, stderr := run(t, args...)
		if code != test.code || !strings.Contains(stdout+stderr, test.want) || server.Count() != test.sent {
			t.Errorf("%s: exit code %d, %s%s; %d messages", test.args, code, stdout, stderr, server.Count())
		}
		if strings.Contains(stdout+stderr, "PRIVATE KEY") {
			t.Errorf("%s shows the key", test.args)
		}
	}
	_, stdout, _ := run(t, "sent", "ada")
	var record store.Record
	if err := json.Unmarshal([]byte(stdout), &record); err != nil || record.State != store.Sent || record.Results[phone.ID()] != "sent" {
		t.Errorf("%s: %v", stdout, err)
	}
}

func TestWithoutChannels(t *testing.T) {
	for _, name := range []string{"APNS_KEY", "FCM_CREDENTIALS", "VAPID_KEY", "SES_FROM"} {
		t.Setenv(name, "")
	}
	folder := t.TempDir()
	write(t, folder, "news.yaml", `{channels: [apns], locales: {en: {title: News}}}`)
	path := write(t, folder, "tokens.csv", "channel,token\napns,aa\n")
	code, _, stderr := run(t, "send", "--list", path, "--templates", folder, "--template", "news")
	if code != 1 || !strings.Contains(stderr, "no channel is configured: set APNS_KEY") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
