package sidecar_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/sidecar"
)

func TestSizes(t *testing.T) {
	w := newWorld(t, func(_ *kinesis.Config, c *sidecar.Config) { c.MaxBodyBytes, c.MaxEventBytes = 4000, 2000 })
	long := strings.Repeat("x", 1990)
	if a := w.post(`"`+long+`"`, binary("1")...); a.status != 413 || !strings.Contains(a.Detail, "the limit of the stream is 2000") {
		t.Errorf("event: %d %s", a.status, a.Detail)
	}
	if a := w.post(`[`+good+`,`+with("data", `"`+long+`"`)+`]`, "content-type", batched); a.status != 413 || a.Events[0].Kept != "no" {
		t.Errorf("batch: %+v", a)
	}
	if a := w.post(`"`+long+long+long+`"`, binary("1")...); a.status != 413 || !strings.Contains(a.Detail, "the limit of a body is 4000 bytes") {
		t.Errorf("body: %d %s", a.status, a.Detail)
	}
	chunked := w.request(io.MultiReader(strings.NewReader(`"`+long), strings.NewReader(long+long+`"`)), binary("1")...)
	if a := w.do(chunked); a.status != 413 || !strings.Contains(a.Detail, "the limit of a body is 4000 bytes") {
		t.Errorf("body of unknown length: %d %s", a.status, a.Detail)
	}
	if all := w.read(); len(all) != 0 {
		t.Errorf("%d events on the stream", len(all))
	}
}

// TestTooLargeForThePublisher: what only the publisher finds out is told just so.
func TestTooLargeForThePublisher(t *testing.T) {
	w := newWorld(t, func(p *kinesis.Config, c *sidecar.Config) {
		p.MaxRecordBytes = 1024
		c.TooLarge = func(err error) bool { return errors.Is(err, kinesis.ErrTooLarge) }
	})
	a := w.post(`[`+good+`,`+with("data", `"`+strings.Repeat("x", 1000)+`"`)+`,`+good+`]`, "content-type", batched)
	if a.status != 413 || a.Events[0].Kept != "stream" || a.Events[1].Kept != "no" || a.Events[2].Kept != "no" {
		t.Errorf("%+v", a)
	}
	if n := len(w.read()); n != 1 {
		t.Errorf("%d events on the stream", n)
	}
}

// TestSlowBody: who sends a body byte by byte is told, and makes nobody wait.
func TestSlowBody(t *testing.T) {
	w := newWorld(t, func(_ *kinesis.Config, c *sidecar.Config) { c.ReadTimeout = 50 * time.Millisecond })
	conn := w.dial()
	_, _ = fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", structured, len(good), good[:10])
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusRequestTimeout {
		t.Errorf("status %d", res.StatusCode)
	}
	w.eventually(func() bool { return w.post(`{}`, binary("1")...).status == 200 }) // another request
}

// TestWaitingIsLongerThanReading: the deadline of the body does not end the wait.
func TestWaitingIsLongerThanReading(t *testing.T) {
	w := newWorld(t, func(p *kinesis.Config, c *sidecar.Config) {
		c.ReadTimeout, p.Linger = 50*time.Millisecond, 200*time.Millisecond
	})
	w.eventually(func() bool { return w.post(`{}`, binary("1")...).status == 200 })
}

// TestCutConnections: a request that breaks off leaves nothing on the stream, and
// no place taken.
func TestCutConnections(t *testing.T) {
	w := newWorld(t, func(_ *kinesis.Config, c *sidecar.Config) {
		c.MaxRequests, c.MaxInFlightBytes, c.MaxBodyBytes = 2, 1000, 1000
	})
	for i := range 50 {
		conn := w.dial()
		_, _ = fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", structured, len(good), good[:i])
		_ = conn.Close()
	}
	w.eventually(func() bool { return w.handler.Stats().Malformed+w.handler.Stats().Busy == 50 })
	if a := w.post(`{}`, binary("1")...); a.status != 200 {
		t.Errorf("%+v", a)
	}
	if n := len(w.read()); n != 1 {
		t.Errorf("%d events on the stream", n)
	}
}

func (w *world) dial() net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(w.url, "http://"), sidecar.Path))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func (w *world) eventually(true func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if true() {
			return
		}
	}
	w.t.Fatal("that does not become true")
}

// TestTooManyAtOnce: requests and bytes beyond the limits are told to come again.
func TestTooManyAtOnce(t *testing.T) {
	for name, limit := range map[string]func(*sidecar.Config){
		"requests": func(c *sidecar.Config) { c.MaxRequests = 1 },
		"bytes":    func(c *sidecar.Config) { c.MaxBodyBytes, c.MaxInFlightBytes = 100, 100 },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(_ *kinesis.Config, c *sidecar.Config) { limit(c) })
			conn := w.dial()
			_, _ = fmt.Fprintf(conn, "POST /events HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", structured, len(good))
			w.eventually(func() bool { return w.handler.Stats().Requests == 1 })
			var a answer
			w.eventually(func() bool { a = w.post(`{"some":"bytes"}`, binary("1")...); return a.status == 429 })
			if a.header.Get("Retry-After") == "" {
				t.Error("it does not say when to come again")
			}
			_, _ = io.WriteString(conn, good)
			w.eventually(func() bool { return w.post(`{"some":"bytes"}`, binary("1")...).status == 200 })
		})
	}
}

// TestUnreachable: the caller is told that nobody knows, and the event comes on the
// stream once that can be reached again.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	var reachable gate
	w := newWorld(t, func(p *kinesis.Config, c *sidecar.Config) {
		p.Client = &gated{API: p.Client, gate: &reachable}
		p.MaxPending = 2
		c.Timeout = time.Second
	})
	reachable.shut(true)
	a := w.post(`[`+good+`,`+with("id", `"2"`)+`,`+with("id", `"3"`)+`]`, "content-type", batched)
	if a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(a.Detail, "it may be published later") {
		t.Errorf("%+v", a)
	}
	for i, want := range []string{"unknown", "unknown", "no"} {
		if a.Events[i].Kept != want {
			t.Errorf("event %d: %+v", i, a.Events[i])
		}
	}
	full := w.post(`{}`, binary("4")...)
	if full.status != 503 || full.Events[0].Kept != "no" || !strings.Contains(full.Detail, "not enqueued") {
		t.Errorf("full: %+v", full)
	}
	reachable.shut(false)
	w.eventually(func() bool { return len(w.read()) == 2 })
	if a := w.post(`{}`, binary("4")...); a.status != 200 {
		t.Errorf("afterwards: %+v", a)
	}
	if s := w.handler.Stats(); s.Kept != 1 || s.Unknown != 2 || s.NotKept != 2 || s.Failed != 2 {
		t.Errorf("%+v", s)
	}
}

// keeper is a publisher which says that everything is kept, but not where: a spool.
type keeper struct{}

func (keeper) Enqueue(context.Context, events.Event) (publishers.Receipt, error) {
	return keeper{}, nil
}
func (keeper) EnqueueEncoded(context.Context, string, []byte) (publishers.Receipt, error) {
	return keeper{}, nil
}
func (keeper) Wait(context.Context) (events.Position, error) { return events.Position{}, nil }
func (keeper) Done() <-chan struct{}                         { return nil }

func TestKeptInTheSpool(t *testing.T) {
	w := newWorld(t, nil)
	var err error
	if w.handler, err = sidecar.New(sidecar.Config{Publisher: keeper{}}); err != nil {
		t.Fatal(err)
	}
	w.serveHandler()
	a := w.post(`{}`, binary("1")...)
	if a.status != 200 || a.Events[0].Kept != "spool" || a.header.Get(events.HeaderWritten) != "" {
		t.Errorf("%+v", a)
	}
}

func TestConfig(t *testing.T) {
	for _, c := range []sidecar.Config{
		{},
		{Publisher: keeper{}, Timeout: -1},
		{Publisher: keeper{}, ReadTimeout: -1},
		{Publisher: keeper{}, MaxBodyBytes: -1},
		{Publisher: keeper{}, MaxEvents: -1},
		{Publisher: keeper{}, MaxEventBytes: -1},
		{Publisher: keeper{}, MaxRequests: -1},
		{Publisher: keeper{}, MaxInFlightBytes: 5},
	} {
		if _, err := sidecar.New(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}
