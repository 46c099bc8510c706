package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/publishers/outbox"
)

func (w *world) database() *mongo.Database {
	w.t.Helper()
	uri := w.variable("MONGODB_URI")
	for _, kv := range w.env {
		uri = strings.TrimPrefix(kv, "MONGODB_URI=")
	}
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = closeIn(client.Disconnect) })
	return client.Database("legacy")
}

// follow starts a command that follows the database, and waits until its place in
// the change stream is stored.
func (w *world) follow(args ...string) *process {
	w.t.Helper()
	p := w.command(w.env, append(args, "--admin-listen=127.0.0.1:0", "--linger=1ms")...)
	w.eventually("ready", func() bool {
		select {
		case <-p.ended:
			w.t.Fatalf("it ended: %s", p.log())
		default:
		}
		return strings.Contains(p.log(), `"msg":"ready: `)
	})
	for line := range strings.Lines(p.log()) {
		if strings.Contains(line, `"msg":"starting"`) {
			_ = json.Unmarshal([]byte(line), &p.where)
		}
	}
	return p
}

// TestRelay: what was written to both forms of outbox is published, over a SIGKILL.
func TestRelay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := w.database()
	write := func(i int) {
		joined, err := events.New(t.Context(), "/legacy", social.UserJoined{UserID: "ada", Name: fmt.Sprint(i), JoinedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		insert := func(ctx context.Context) error { return outbox.Insert(ctx, db.Collection("outbox"), joined) }
		if err := outbox.InTransaction(t.Context(), db.Client(), insert); err != nil {
			t.Fatal(err)
		}
		joined.ID += "-document"
		update, err := outbox.Push(bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: i}}}}, joined)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Collection("users").UpdateOne(t.Context(), bson.D{{Key: "_id", Value: "ada"}}, update, options.UpdateOne().SetUpsert(true)); err != nil {
			t.Fatal(err)
		}
	}
	w.faults("delay 10ms; kinesis.PutRecords throttle=0.1 partial=0.1 timeout-after=0.05")
	p := w.follow("relay", "--documents=users", "--outboxes=outbox", "--lease=2s")
	for i := range 10 {
		write(i)
	}
	p.end(syscall.SIGKILL)
	for i := range 10 {
		write(10 + i)
	}
	p = w.follow("relay", "--documents=users", "--outboxes=outbox")
	w.eventually("published", func() bool { return len(distinct(w.read())) == 40 })
	w.eventually("counted", func() bool {
		var metrics relayMetrics
		_, text := w.admin(p, "/metrics.json")
		return json.Unmarshal([]byte(text), &metrics) == nil && metrics.Relay.Waiting == 0 && metrics.Relay.Published >= 20 && metrics.Follower.Following
	})
	if status, text := w.admin(p, "/readyz"); status != 200 {
		t.Errorf("ready: %d %s", status, text)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}

func distinct(all []events.Event) map[string]bool {
	ids := map[string]bool{}
	for _, e := range all {
		ids[e.ID] = true
	}
	return ids
}

const mapping = `
version: 1
source: /legacy/users
collections:
  users:
    - on: [insert, snapshot]
      event: user.joined
      subject: user/{_id}
      data: {userId: _id, name: name}
`

// TestChanges: documents that were there before come by the snapshot, later ones by
// the change stream, over a SIGKILL.
func TestChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	users := w.database().Collection("users")
	insert := func(id string) {
		if _, err := users.InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}, {Key: "name", Value: "N " + id}}); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "mapping.yaml")
	if err := os.WriteFile(file, []byte(mapping), 0o600); err != nil {
		t.Fatal(err)
	}
	insert("before")
	p := w.follow("changes", "--mapping="+file, "--snapshot", "--lease=2s")
	insert("while")
	w.eventually("published", func() bool { return len(subjects(w.read())) == 2 })
	p.end(syscall.SIGKILL)
	insert("without")
	p = w.follow("changes", "--mapping="+file)
	insert("after")
	w.eventually("published", func() bool { return len(subjects(w.read())) == 4 })
	for _, subject := range []string{"user/before", "user/while", "user/without", "user/after"} {
		if !subjects(w.read())[subject] {
			t.Errorf("%s is missing", subject)
		}
	}
	var metrics changesMetrics
	if _, text := w.admin(p, "/metrics.json"); json.Unmarshal([]byte(text), &metrics) != nil || !metrics.Follower.Following {
		t.Errorf("metrics: %s", text)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}

func subjects(all []events.Event) map[string]bool {
	found := map[string]bool{}
	for _, e := range all {
		found[e.Subject] = true
	}
	return found
}

// TestHistoryLost: where changes were missed, it stops and names the way back, which
// is one.
func TestHistoryLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server, err := mongodb.Start(mongodb.Config{OplogEntries: 50})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	w.env = []string{"MONGODB_URI=" + server.URI()}
	users := w.database().Collection("users")
	file := filepath.Join(t.TempDir(), "mapping.yaml")
	if err := os.WriteFile(file, []byte(mapping), 0o600); err != nil {
		t.Fatal(err)
	}
	if code := w.follow("changes", "--mapping="+file).end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for i := range 100 {
		if _, err := users.InsertOne(t.Context(), bson.D{{Key: "_id", Value: fmt.Sprint(i)}, {Key: "name", Value: "N"}}); err != nil {
			t.Fatal(err)
		}
	}
	code, _, stderr := w.run(w.env, "changes", "--mapping="+file, "--admin-listen=127.0.0.1:0")
	if code != 1 || !strings.Contains(stderr, "banyan-publish changes --snapshot") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	p := w.follow("changes", "--mapping="+file, "--snapshot")
	w.eventually("published", func() bool { return len(subjects(w.read())) == 100 })
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}

func ids(all []events.Event) (ids []string) {
	for _, e := range all {
		ids = append(ids, e.ID)
	}
	return ids
}
