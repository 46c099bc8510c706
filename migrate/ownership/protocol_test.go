package ownership_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	sandbox "github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// foreign is a member in another language, a process of its own.
type foreign struct {
	t         *testing.T
	cmd       *exec.Cmd
	forbidden string // a file: the name that it may not use

	mu   sync.Mutex
	all  []foreignWrite
	done chan struct{}
}

// foreignWrite is a write that it made.
type foreignWrite struct {
	Revision, Epoch   int64
	Owner, Collection string
	Dozes             bool // it falls asleep
}

func startForeign(t *testing.T, url, table string) *foreign {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 here")
	}
	f := &foreign{t: t, forbidden: filepath.Join(t.TempDir(), "forbidden"), done: make(chan struct{})}
	f.cmd = exec.CommandContext(t.Context(), python, "testdata/member.py", url, table, "users", f.forbidden)
	f.cmd.Stderr = os.Stderr
	out, err := f.cmd.StdoutPipe()
	if err == nil {
		err = f.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(f.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var w foreignWrite
			if err := json.Unmarshal(lines.Bytes(), &w); err != nil {
				t.Errorf("%s: %v", lines.Text(), err)
			}
			f.mu.Lock()
			f.all = append(f.all, w)
			f.mu.Unlock()
		}
	}()
	return f
}

// writes are those that it has made.
func (f *foreign) writes() []foreignWrite {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]foreignWrite{}, f.all...)
}

// await waits until a write is made that is as wanted.
func (f *foreign) await(wanted func(foreignWrite) bool) {
	f.t.Helper()
	for until := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if all := f.writes(); len(all) > 0 && wanted(all[len(all)-1]) {
			return
		}
		if time.Now().After(until) {
			f.t.Fatalf("no such write among %+v", f.writes())
		}
	}
}

// A member that knows only PROTOCOL.md is waited for, told of names and owners, held to its
// probe, and taken for dead when it sleeps: then it writes nothing before it has read the
// record again.
func TestMemberInAnotherLanguage(t *testing.T) {
	server := httptest.NewServer(sandbox.New(sandbox.Config{}))
	defer server.Close()
	table := ownership.NewTable(dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &server.URL, HTTPClient: server.Client(),
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")}), "")
	if err := table.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := startForeign(t, server.URL, table.Name())
	f.await(func(w foreignWrite) bool { return w.Owner == "mongodb" && w.Epoch == 1 })
	rec, err := table.Load(t.Context(), "users")
	change := func(how func(*ownership.Record)) {
		t.Helper()
		if rec, err = table.Update(t.Context(), rec, how); err != nil {
			t.Fatal(err)
		}
	}
	acknowledged := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		return table.AwaitAck(ctx, "users", rec.Revision)
	}

	if err := os.WriteFile(f.forbidden, []byte("users__banyan_g1"), 0o600); err != nil {
		t.Fatal(err)
	}
	uuid := "000102030405060708090a0b0c0d0e0f"
	change(func(r *ownership.Record) {
		r.Generation, r.Move, r.CollectionUUID = 1, &ownership.Move{From: "users", To: "users__banyan_g1"}, uuid
	})
	if err := acknowledged(); !errors.Is(err, ownership.ErrProbeFailed) {
		t.Fatalf("a name that it may not use: %v", err)
	}
	if err := os.Remove(f.forbidden); err != nil {
		t.Fatal(err)
	}
	for until := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		err := acknowledged()
		if err == nil {
			break
		}
		if !errors.Is(err, ownership.ErrProbeFailed) || time.Now().After(until) {
			t.Fatal(err)
		}
	}

	change(func(r *ownership.Record) { r.Hold = true })
	if err := acknowledged(); err != nil {
		t.Fatal(err)
	}
	hold := rec.Revision
	change(func(r *ownership.Record) {
		r.Collection, r.Move, r.Phase = "users__banyan_g1", nil, ownership.Encapsulated
	})
	if err := acknowledged(); err != nil {
		t.Fatal(err)
	}
	change(func(r *ownership.Record) { r.Hold = false })
	f.await(func(w foreignWrite) bool { return w.Collection == "users__banyan_g1" })
	for _, w := range f.writes() { // what it printed may be read late
		if w.Revision >= hold && w.Revision < rec.Revision {
			t.Errorf("it wrote behind the hold: %+v", w)
		}
	}

	if err := f.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	f.await(func(w foreignWrite) bool { return w.Dozes })
	change(func(r *ownership.Record) { r.Owner, r.Epoch, r.Phase = ownership.DynamoDB, 2, ownership.Switched })
	if err := acknowledged(); err != nil { // by its lease
		t.Fatal(err)
	}
	asleep := len(f.writes())
	if err := f.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.await(func(w foreignWrite) bool { return w.Owner == "dynamodb" && w.Epoch == 2 })
	for _, w := range f.writes()[asleep:] {
		if w.Epoch != 2 {
			t.Errorf("it woke and wrote under the old owner: %+v", w)
		}
	}

	if err := f.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-f.done
	if err := f.cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left, err := table.Members(t.Context(), "users"); err != nil || len(left) > 0 {
		t.Errorf("it left %+v, %v", left, err)
	}
}
