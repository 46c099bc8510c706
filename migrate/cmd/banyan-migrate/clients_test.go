package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate"
)

// TestClients: a writer is in the table, and the exit code says that it is in the way; once
// it is gone for as long as the plan says, nobody is.
func TestClients(t *testing.T) {
	s := start(t)
	s.seed(3)
	if code, stdout, stderr := command(t, "clients", "--window", "1ms"); code != exitRefused || !strings.Contains(stderr, "banyan-migrate init") {
		t.Errorf("before init: exit %d\n%s%s", code, stdout, stderr)
	}
	command(t, "init")
	cron, err := mongo.Connect(options.Client().ApplyURI(os.Getenv("MONGODB_URI")).SetAppName("cron"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	write := func() error {
		_, err := cron.Database("legacy").Collection("users").UpdateOne(ctx, bson.D{}, bson.D{{Key: "$inc", Value: bson.D{{Key: "version", Value: 1}}}})
		return err
	}
	if err := write(); err != nil { // is connected
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for write() == nil {
			time.Sleep(time.Millisecond)
		}
	}()
	code, stdout, stderr := command(t, "clients", "--window", "1s")
	if code != exitFound || stderr != "" {
		t.Errorf("exit %d\n%s", code, stderr)
	}
	for _, want := range []string{"APPLICATION", "cron", "127.0.0.1", "legacy.users", "update", "was watched for 1s by profiler", "refused now  others wrote"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is missing in\n%s", want, stdout)
		}
	}
	stop()
	<-done
	_ = cron.Disconnect(t.Context())

	code, stdout, _ = command(t, "clients", "--window", "1ms", "--json")
	var c migrate.Clients
	if err := json.Unmarshal([]byte(stdout), &c); err != nil || code != exitFound || len(c.Seen) != 1 || c.Seen[0].Writes == 0 || len(c.Refusals) != 1 {
		t.Errorf("exit %d, %v\n%s", code, err, stdout)
	}
	text, err := os.ReadFile(s.plan)
	if err == nil {
		err = os.WriteFile(s.plan, append(text, "gate: {window: 1ns}\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := command(t, "clients", "--window", "1ms"); code != 0 || !strings.Contains(stdout, "Nobody but the service was seen.") {
		t.Errorf("exit %d\n%s%s", code, stdout, stderr)
	}
	watched, end := context.WithCancel(t.Context())
	out := &watching{text: "Nobody", then: end}
	args := []string{"clients", "--window", "10ms", "--watch"}
	if code := newCommand().Execute(watched, args, out, out); code != 0 || !strings.Contains(out.String(), "Nobody") {
		t.Errorf("exit %d\n%s", code, out.String())
	}
}
