package outbox_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/mongodbtest"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/outbox"
	"github.com/banyan-fig/banyan/publishers/streamtest"
)

// childEnv makes the test binary a relay: the addresses of its MongoDB and
// Kinesis, with a blank between.
const childEnv = "BANYAN_OUTBOX_TEST_CHILD"

// child relays until it is killed.
func child() {
	if err := relayForever(); err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
}

func relayForever() error {
	uri, url, _ := strings.Cut(os.Getenv(childEnv), " ")
	client, err := connectTo(uri)
	if err != nil {
		return err
	}
	ctx := context.Background()
	p, err := kinesis.New(ctx, publisherConfig(streamtest.NewClient(url, &http.Transport{})))
	if err != nil {
		return err
	}
	r, err := outbox.New(outbox.Config{
		Database: client.Database(mongodbtest.Database(uri)), Documents: []string{"users"}, Outboxes: []string{"outbox"},
		Publisher: p, Permanent: permanent, Lease: 2 * time.Second, // longer than what a killed one has sent is on its way
	})
	if err != nil {
		return err
	}
	go func() {
		<-r.Ready()
		fmt.Println("ready")
	}()
	return r.Run(ctx)
}

// spawn starts a relay as a process of its own and waits until it is ready.
func (w *world) spawn() *exec.Cmd {
	w.t.Helper()
	exe, err := os.Executable()
	w.must(err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+w.mongo+" "+w.kinesis)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "ready" {
		w.t.Fatalf("the relay said %q", lines.Text())
	}
	return cmd
}

func (w *world) kill(cmd *exec.Cmd) {
	w.t.Helper()
	w.must(cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait() // killed, as asked for
}

// Writers go on while one relay after the other is killed at any instant. In the
// end every event whose write was acknowledged is on the stream, in the order of
// its key, and nothing waits any more.
func TestRelaysThatAreKilledLoseNothing(t *testing.T) {
	t.Parallel()
	newWorld(t).killRelays(seeded(t))
}

// The same while the oplog is too short for the positions that the killed ones leave:
// what they published without removing it is swept, and comes again in its order.
func TestRelaysThatAreKilledKeepTheOrderWithoutHistory(t *testing.T) {
	t.Parallel()
	newWorld(t, func(c *mongodb.Config) { c.OplogBytes = 6 << 20 }).killRelays(seeded(t))
}

func (w *world) killRelays(random *rand.Rand) {
	w.t.Helper()
	w.faults.set(0, 0.1)
	stop := make(chan struct{})
	published := w.write(3, stop)
	for range 4 {
		relay := w.spawn()
		time.Sleep(time.Duration(20+random.IntN(200)) * time.Millisecond) // its life
		w.kill(relay)
	}
	close(stop)
	numbers := published()
	last := w.spawn()
	w.awaitEmpty()
	w.kill(last)
	total := 0
	for _, n := range numbers {
		total += n
	}
	w.t.Logf("%d events, %d came again", total, w.check(numbers))
}

// write starts writers, each of one key, that alternate between two documents and
// the outbox collection, until stop is closed. The function waits for them and
// returns how many events of each key were published.
func (w *world) write(writers int, stop <-chan struct{}) func() map[string]int {
	var mu sync.Mutex
	published := make(map[string]int)
	var writing sync.WaitGroup
	for i := range writers {
		key := fmt.Sprintf("key%d", i)
		writing.Go(func() {
			n := w.writeKey(key, stop)
			mu.Lock()
			defer mu.Unlock()
			published[key] = n
		})
	}
	return func() map[string]int {
		writing.Wait()
		return published
	}
}

func (w *world) writeKey(key string, stop <-chan struct{}) (n int) {
	for {
		select {
		case <-stop:
			return n
		default:
		}
		ok := w.writeInOutbox
		if n%3 > 0 {
			ok = w.writeInDocument
		}
		for attempt := 0; !ok(key, n); attempt++ {
			if attempt > 200 {
				w.t.Errorf("event %d of %s cannot be written", n, key)
				return n
			}
			time.Sleep(5 * time.Millisecond)
		}
		n++
		w.written.Add(1)
	}
}

// writeInDocument writes an event once, however often it has to be tried: the
// document knows how far it is.
func (w *world) writeInDocument(key string, n int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	id := fmt.Sprintf("%s/%d", key, n%3)
	update, err := outbox.Push(bson.D{{Key: "$set", Value: bson.D{{Key: "last", Value: n}}}}, event(key, n))
	if err != nil {
		w.t.Error(err)
		return false
	}
	if n < 3 {
		doc, err := outbox.Embed(bson.D{{Key: "_id", Value: id}, {Key: "last", Value: n}}, event(key, n))
		if err != nil {
			w.t.Error(err)
		}
		_, err = w.users.InsertOne(ctx, doc)
		return err == nil || mongo.IsDuplicateKeyError(err)
	}
	if _, err = w.users.UpdateOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "last", Value: n - 3}}, update); err == nil {
		return true
	}
	var doc struct{ Last int }
	err = w.users.FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&doc)
	return err == nil && doc.Last == n
}

// writeInOutbox writes a document and its event in one transaction.
func (w *world) writeInOutbox(key string, n int) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := outbox.InTransaction(ctx, w.client, func(ctx context.Context) error {
		if _, err := w.db.Collection("posts").InsertOne(ctx, bson.D{{Key: "_id", Value: event(key, n).ID}}); err != nil {
			return err
		}
		return outbox.Insert(ctx, w.outbox, event(key, n))
	})
	return err == nil || mongo.IsDuplicateKeyError(err) // an attempt before did it
}
