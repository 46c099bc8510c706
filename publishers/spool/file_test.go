package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/publisherstest"
	"github.com/banyan-fig/banyan/publishers/spool"
)

func TestConfigIsChecked(t *testing.T) {
	for what, cfg := range map[string]spool.Config{
		"Path":            {},
		"MaxBytes 10":     {Path: "s", MaxBytes: 10},
		"MaxEventBytes":   {Path: "s", MaxEventBytes: 11 << 20},
		"MaxPendingBytes": {Path: "s", MaxPendingBytes: 10, MaxEventBytes: 100},
		"Window -1":       {Path: "s", Window: -1},
		"BackoffMax":      {Path: "s", BackoffMin: time.Second, BackoffMax: time.Millisecond},
	} {
		if _, err := spool.Open(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := (spool.Config{Path: "s"}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestOneProcessAtATime opens a spool that another process has.
func TestOneProcessAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	c := start(t, orders{Path: path})
	_, err := spool.Open(context.Background(), spool.Config{Path: path, LockTimeout: 30 * time.Millisecond})
	if !errors.Is(err, spool.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", c.cmd.Process.Pid)) {
		t.Errorf("while another process has it: %v", err)
	}
	in, err := spool.Inspect(context.Background(), path, spool.InspectOptions{})
	if err != nil || !strings.Contains(in.Holder, fmt.Sprint("process ", c.cmd.Process.Pid)) {
		t.Errorf("inspect: %+v, %v", in, err)
	}
	time.AfterFunc(50*time.Millisecond, func() { _ = c.cmd.Process.Kill() })
	s := open(t, spool.Config{Path: path, LockTimeout: time.Minute}) // waits for that
	_ = s.Close(context.Background())
	if in, err = spool.Inspect(context.Background(), path, spool.InspectOptions{}); err != nil || in.Holder != "" {
		t.Errorf("inspect: %+v, %v", in, err)
	}
}

func TestFilesOfOtherProgramsStay(t *testing.T) {
	directory := t.TempDir()
	for name, content := range map[string][]byte{
		"text":     []byte("my diary\n" + strings.Repeat("dear diary, ", 1000)),
		"short":    []byte("x"),
		"database": otherDatabase(t),
	} {
		path := filepath.Join(directory, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := spool.Open(context.Background(), spool.Config{Path: path}); !errors.Is(err, spool.ErrNotSpool) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := spool.Inspect(context.Background(), path, spool.InspectOptions{}); !errors.Is(err, spool.ErrNotSpool) {
			t.Errorf("%s: inspect: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
	if _, err := spool.Open(context.Background(), spool.Config{Path: filepath.Join(directory, "no", "such", "s")}); !errors.Is(err, os.ErrNotExist) ||
		!strings.Contains(err.Error(), "create the directory") {
		t.Errorf("without its directory: %v", err)
	}
	if _, err := spool.Open(context.Background(), spool.Config{Path: directory}); err == nil {
		t.Error("a directory was opened")
	}
	if _, err := spool.Inspect(context.Background(), filepath.Join(directory, "none"), spool.InspectOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("inspect nothing: %v", err)
	}
}

func otherDatabase(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "other")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte("events"))
		if err == nil {
			err = b.Put([]byte("a"), []byte("b"))
		}
		return err
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestALaterFormatIsRefused raises the number of the format in a file.
func TestALaterFormatIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fill(t, path, 10, 0)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("state"))
		value := bytes.Clone(b.Get([]byte("state")))
		binary.LittleEndian.PutUint64(value[48:], 2)
		binary.LittleEndian.PutUint32(value[4:], crc32.Checksum(value[8:], crc32.MakeTable(crc32.Castagnoli)))
		return b.Put([]byte("state"), value)
	})
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(context.Background(), spool.Config{Path: path}); !errors.Is(err, spool.ErrFormat) {
		t.Errorf("open: %v", err)
	}
	if _, err := spool.Inspect(context.Background(), path, spool.InspectOptions{}); !errors.Is(err, spool.ErrFormat) {
		t.Errorf("inspect: %v", err)
	}
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "s")
	fill(t, path, 100, 0)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	b := bytes.ReplaceAll(contents(t, path), []byte("k3#7#"), []byte("k3?7?"))
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, spool.Config{Path: path})
	if len(s.Status().Salvages) != 1 {
		t.Errorf("there was no damage: %+v", s.Status())
	}
	files, err := os.ReadDir(directory)
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

// TestDamageIsReportedEverywhere damages one event of many.
func TestDamageIsReportedEverywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	b := fill(t, path, 200, 0)
	b = bytes.ReplaceAll(b, []byte("k3#17#"), []byte("k3?17?"))
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := spool.Inspect(context.Background(), path, spool.InspectOptions{})
	if err != nil || !strings.Contains(in.Damage, "checksum") {
		t.Errorf("inspect before: %q, %v", in.Damage, err)
	}
	var log bytes.Buffer
	s := open(t, spool.Config{Path: path, Log: slog.New(slog.NewTextHandler(&log, nil))})
	st := s.Status()
	if len(st.Salvages) != 1 {
		t.Fatalf("%+v", st)
	}
	report := st.Salvages[0]
	if report.Events != 199 || report.LostEvents != 1 || !report.Exact ||
		fmt.Sprint(report.Lost) != "[[174 174]]" || !strings.Contains(report.Damage, "checksum") {
		t.Errorf("%+v", report)
	}
	if !strings.Contains(log.String(), "saved 199 events") || !strings.Contains(log.String(), "lost 1 and 0 (numbers [[174 174]])") {
		t.Errorf("the log says %s", log.String())
	}
	_ = s.Close(context.Background())
	in, err = spool.Inspect(context.Background(), path, spool.InspectOptions{})
	if err != nil || in.Damage != "" || len(in.Salvages) != 1 || in.Salvages[0].LostEvents != 1 {
		t.Errorf("inspect after: %+v, %v", in, err)
	}
	again := open(t, spool.Config{Path: path})
	if st := again.Status(); len(st.Salvages) != 1 || st.Events != 199 {
		t.Errorf("opened again: %+v", st)
	}
	if err := again.DrainAll(context.Background(), &memory{}); err != nil {
		t.Error(err)
	}
}

// TestAnEmptyFileGetsSmall drains a large file.
func TestAnEmptyFileGetsSmall(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fill(t, path, 4000, 10_000)
	s := open(t, spool.Config{Path: path})
	to := &memory{}
	ctx, cancel := context.WithCancel(context.Background())
	to.after, to.then = 3900, cancel
	_ = s.DrainAll(ctx, to)
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	large := len(contents(t, path))
	s = open(t, spool.Config{Path: path})
	st := s.Status()
	if large < 40_000_000 || st.FileBytes > 10_000_000 {
		t.Errorf("%d bytes, and then %d", large, st.FileBytes)
	}
	if int(st.Events) != 4000-len(to.records()) || st.Enqueued != 4000 || int(st.Forwarded) != len(to.records()) {
		t.Errorf("%d were forwarded: %+v", len(to.records()), st)
	}
	if err := s.DrainAll(context.Background(), to); err != nil {
		t.Error(err)
	}
	seen := make(map[string]int)
	for _, r := range to.records() {
		seen[r.PartitionKey]++
	}
	if len(to.records()) != 4000 || seen["k7"] != 400 {
		t.Errorf("%d events, %v", len(to.records()), seen)
	}
}

func TestTooLargeIsReportedAtOnce(t *testing.T) {
	s := open(t, spool.Config{Path: filepath.Join(t.TempDir(), "s"), MaxEventBytes: 1000})
	if _, err := s.EnqueueEncoded(context.Background(), "key", make([]byte, 998)); !errors.Is(err, spool.ErrTooLarge) {
		t.Errorf("998 bytes and a key of 3: %v", err)
	}
	r, err := s.EnqueueEncoded(context.Background(), "key", make([]byte, 997))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Wait(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestTheLargestEvents go in and out whole.
func TestTheLargestEvents(t *testing.T) {
	path := filepath.Join(memoryDirectory(t), "s")
	cfg := spool.Config{Path: path, MaxEventBytes: events.MaxSize}
	s := open(t, cfg)
	var want [][]byte
	for i := range 5 {
		data := bytes.Repeat([]byte{byte('a' + i)}, events.MaxSize-1-i*1000)
		want = append(want, data)
		r, err := s.EnqueueEncoded(context.Background(), "k", data)
		if err != nil {
			t.Fatal(err)
		}
		<-r.Done()
	}
	_ = s.Close(context.Background())
	s = open(t, cfg)
	to := &memory{}
	if err := s.DrainAll(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	for i, r := range to.records() {
		if !bytes.Equal(r.Data, want[i]) {
			t.Errorf("event %d is not what it was", i)
		}
	}
}

// TestInspectWhileItIsWritten looks again and again while another process writes
// and drains.
func TestInspectWhileItIsWritten(t *testing.T) {
	w := newWorld(t, calm)
	path := filepath.Join(t.TempDir(), "s")
	c := start(t, orders{Path: path, Producers: 4, Endpoint: w.url})
	still, looks, last := 0, 0, uint64(0)
	for limit := time.Now().Add(time.Minute); (last < 3000 || looks < 50 || still == 0) && time.Now().Before(limit); looks++ {
		in, err := spool.Inspect(context.Background(), path, spool.InspectOptions{Keys: 3, Entries: 5})
		if err != nil || in.Damage != "" {
			t.Fatalf("%+v, %v", in, err)
		}
		if in.Enqueued < last {
			t.Fatalf("%d were enqueued, and before %d", in.Enqueued, last)
		}
		last = in.Enqueued
		if uint64(len(in.Entries)) > 5 || in.Events+in.Forwarded != in.Enqueued {
			t.Fatalf("%+v", in)
		}
		if in.Moving {
			continue
		}
		still++
		if in.Events > 0 && (len(in.Entries) == 0 || in.Entries[0].EnqueuedAt != in.Oldest || in.Keys[0].Events == 0) {
			t.Fatalf("%+v", in)
		}
	}
	c.kill(t)
	if last == 0 || still == 0 {
		t.Errorf("%d looks of %d were at one instant, %d events", still, looks, last)
	}
	t.Logf("%d looks of %d were at one instant, %d events", still, looks, last)
}

func TestInspectListsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	s := open(t, spool.Config{Path: path, Now: func() time.Time { return now }})
	for i := range 30 {
		e, err := events.Factory{Now: func() time.Time { return now }, NewID: func() (string, error) { return fmt.Sprint("id", i), nil }}.
			New(context.Background(), "/test", social.UserJoined{UserID: fmt.Sprint("u", i%3/2), Name: "A", JoinedAt: now})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Enqueue(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := s.EnqueueEncoded(context.Background(), "u9", []byte("no event"))
	<-r.Done()
	in, err := spool.Inspect(context.Background(), path, spool.InspectOptions{Entries: 2, After: 29, Keys: 2})
	if err != nil {
		t.Fatal(err)
	}
	if in.Events != 31 || in.Enqueued != 31 || in.Oldest != now || in.OldestAge == 0 || in.DistinctKeys != 3 || !in.KeysExact || in.Format != 1 || in.Bytes == 0 {
		t.Errorf("%+v", in)
	}
	if len(in.Keys) != 2 || in.Keys[0].PartitionKey != "u0" || in.Keys[0].Events != 20 || in.Keys[1].Events != 10 {
		t.Errorf("%+v", in.Keys)
	}
	if len(in.Entries) != 2 || in.Entries[0].ID != "id29" || in.Entries[0].Type != "user.joined" || in.Entries[0].Time != now ||
		in.Entries[0].Number != 30 || in.Entries[0].Subject == "" || in.Entries[0].PartitionKey != "u1" || in.Entries[0].Malformed != "" {
		t.Errorf("%+v", in.Entries)
	}
	if last := in.Entries[1]; last.PartitionKey != "u9" || last.Bytes != 8 || last.Malformed == "" {
		t.Errorf("%+v", last)
	}
	now = now.Add(time.Minute)
	if st := s.Status(); st.OldestAge != time.Minute || st.Events != 31 || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
	stopped := errors.New("enough")
	if err := spool.Read(context.Background(), path, func(spool.Entry, []byte) error { return stopped }); !errors.Is(err, stopped) {
		t.Errorf("read: %v", err)
	}
}

// memoryDirectory is on a disk that syncs in no time, if there is one.
func memoryDirectory(t *testing.T) string {
	t.Helper()
	directory, err := os.MkdirTemp("/dev/shm", "spool")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	return directory
}

// FuzzOpen gives the spool any file. It must not panic, nor let bbolt.
func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "s")
	s := open(f, spool.Config{Path: path})
	for i := range 20 {
		_, _ = s.EnqueueEncoded(context.Background(), "k", publisherstest.Body("k", i))
	}
	_ = s.Close(context.Background())
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:used(b)], uint32(0), uint32(0))
	f.Add(b[:used(b)], uint32(4096+80), uint32(1))
	f.Add([]byte{}, uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, at, change uint32) {
		if len(b) > 4 {
			at %= uint32(len(b) - 4)
			binary.LittleEndian.PutUint32(b[at:], binary.LittleEndian.Uint32(b[at:])^change)
		}
		path := filepath.Join(memoryDirectory(t), "s")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = spool.Inspect(context.Background(), path, spool.InspectOptions{})
		s, err := spool.Open(context.Background(), spool.Config{Path: path, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
		if err != nil {
			return
		}
		r, err := s.EnqueueEncoded(context.Background(), "k", []byte("x"))
		if err == nil {
			_, err = r.Wait(context.Background())
		}
		if err == nil {
			err = s.DrainAll(context.Background(), &memory{})
		}
		if err = errors.Join(err, s.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
}
