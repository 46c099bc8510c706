package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/serving"
)

// says runs a command and fails unless it ends with that code and says all of the
// texts, on whatever output.
func (w *world) says(code int, args string, texts ...string) string {
	w.t.Helper()
	got, stdout, stderr := here(w.t, strings.Fields(args)...)
	for _, text := range texts {
		if !strings.Contains(stdout+stderr, text) {
			w.t.Errorf("%s does not say %q", args, text)
		}
	}
	if got != code || w.t.Failed() {
		w.t.Fatalf("%s: exit code %d, want %d\n%s%s", args, got, code, stdout, stderr)
	}
	return stdout
}

// refusedIDs are those in the JSON of a list.
func refusedIDs(t *testing.T, text string) (ids []string) {
	t.Helper()
	var list struct {
		Total   int
		Refused []struct {
			ID string `json:"_id"`
		}
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil || list.Total < len(list.Refused) {
		t.Fatalf("%v: %s", err, text)
	}
	for _, r := range list.Refused {
		ids = append(ids, r.ID)
	}
	return ids
}

// TestRelayRefused: what a relay moved aside is listed, put back when the cause is
// mended, or deleted.
func TestRelayRefused(t *testing.T) {
	w := newWorld(t)
	w.setEnvironment()
	db := w.database()
	entry := func(id string) bson.D {
		return bson.D{{Key: "id", Value: id}, {Key: "type", Value: "user.joined"}, {Key: "data", Value: bson.D{{Key: "userId", Value: "ada"}}}}
	}
	w.says(0, "relay refused", "nothing is refused")
	w.says(serving.ExitFailure, "relay redrive --all", "nothing is refused")
	p := w.follow("relay", "--documents=users") // without --source
	for _, id := range []string{"1", "2", "3"} {
		user := bson.D{{Key: "_id", Value: "user " + id}, {Key: "_outbox", Value: bson.A{entry(id)}}}
		if _, err := db.Collection("users").InsertOne(t.Context(), user); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("moved aside", func() bool {
		n, err := db.Collection("outbox_refused").CountDocuments(t.Context(), bson.D{})
		return err == nil && n == 3
	})
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	w.says(0, "relay refused", "user 1", "user 3", "users", "source: required", "banyan-publish relay redrive")
	w.says(0, "relay refused --entries=1", "and 2 more: --entries=0 lists all")
	ids := refusedIDs(t, w.says(0, "relay refused --json", `"total": 3`, `"type": "user.joined"`))
	w.says(serving.ExitFailure, "relay redrive --id=nonsense", `"nonsense" is not among the refused; banyan-publish relay refused lists them`)
	w.says(0, "relay discard --id="+ids[0], "1 event deleted")
	w.says(0, "relay redrive --all", "2 events put back where it waited")
	w.says(0, "relay refused", "nothing is refused")
	p = w.follow("relay", "--documents=users", "--source=/legacy")
	w.eventually("published", func() bool { return len(w.read()) == 2 })
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}

// TestChangesRefused is the same for changes, which are mapped and published again.
func TestChangesRefused(t *testing.T) {
	w := newWorld(t)
	w.setEnvironment()
	users := w.database().Collection("users")
	strict := writeFile(t, "strict.yaml", mapping)
	mended := writeFile(t, "mended.yaml", strings.Replace(mapping, "name: name", "name: {field: name, default: nobody}", 1))
	p := w.follow("changes", "--mapping="+strict)
	for _, id := range []string{"1", "2", "3"} {
		if _, err := users.InsertOne(t.Context(), bson.D{{Key: "_id", Value: id}}); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("put aside", func() bool {
		n, err := users.Database().Collection("changes_refused").CountDocuments(t.Context(), bson.D{})
		return err == nil && n == 3
	})
	w.says(0, "changes refused", "users", "lacks a field that the event needs: name", "banyan-publish changes redrive")
	ids := refusedIDs(t, w.says(0, "changes refused --json", `"operationType": "insert"`))
	w.says(0, "changes discard --id="+ids[0], "1 event deleted")
	w.says(serving.ExitFailure, "changes redrive --all --mapping="+strict, "2 changes refused again; banyan-publish changes refused shows why")
	w.says(serving.ExitFailure, "changes redrive --id=nonsense --mapping="+strict, `"nonsense" is not among the refused`)
	w.says(0, "changes redrive --id="+ids[1]+" --mapping="+mended, "1 refused change published")
	w.faults("kinesis.PutRecords denied=1")
	w.says(serving.ExitFailure, "changes redrive --all --mapping="+mended, "AccessDeniedException", "allow kinesis:ListShards and kinesis:PutRecords")
	w.faults("")
	w.says(0, "changes redrive --all --mapping="+mended, "1 refused change published")
	w.says(0, "changes refused", "nothing is refused")
	if found := subjects(w.read()); len(found) != 2 || !found["user/2"] || !found["user/3"] {
		t.Errorf("published: %v", found)
	}

	// the position can be forgotten while nobody follows
	w.says(serving.ExitFailure, "changes forget", "another process is following; stop it first")
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	w.says(serving.ExitFailure, "changes forget --name=others", `"others"`, "no position is stored under this name")
	w.says(0, "changes forget", "is forgotten", "changes --snapshot")
	p = w.follow("changes", "--snapshot", "--mapping="+mended)
	w.eventually("all of them", func() bool { return subjects(w.read())["user/1"] })
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}

// TestOrderWhileRightsAreMissing: under a relay, what is refused for missing rights
// waits in its place: nothing is lost or overtaken, and the metrics tell why.
func TestOrderWhileRightsAreMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	outbox := w.database().Collection("outbox")
	written := 0
	write := func(n int) {
		for range n {
			entry := bson.D{{Key: "_id", Value: fmt.Sprintf("e%03d", written)}, {Key: "type", Value: "t"}, {Key: "partitionkey", Value: "ada"}}
			if _, err := outbox.InsertOne(t.Context(), entry); err != nil {
				t.Fatal(err)
			}
			written++
		}
	}
	p := w.follow("relay", "--outboxes=outbox", "--source=/legacy")
	w.faults("kinesis.PutRecords denied=1")
	write(10)
	w.eventually("told", func() bool {
		_, text := w.admin(p, "/metrics.json")
		var metrics relayMetrics
		return json.Unmarshal([]byte(text), &metrics) == nil && metrics.Publisher.Refused > 1 && metrics.Publisher.Failed == 0 &&
			metrics.Relay.Waiting == 10 && strings.Contains(metrics.Publisher.LastError, "AccessDenied")
	})
	w.faults("kinesis.PutRecords denied=0.5")
	for range 10 {
		write(2)
		time.Sleep(5 * time.Millisecond) // more requests than one
	}
	w.faults("")
	write(1)
	var got []string
	w.eventually("published", func() bool {
		all := w.read()
		got = ids(all)
		return len(distinct(all)) == written
	})
	if !slices.IsSorted(got) || len(got) != written {
		t.Errorf("%d events: %v", len(got), got)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
}
