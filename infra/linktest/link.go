// Package linktest is the network between one process of a migration and its two stores,
// as tests want it: it counts the commands that the process sends, and can kill the
// process before or after any of them, lose a command, deliver it late, or deliver it once
// more. It works on the wire, so it needs nothing of the code under test and holds with
// any server. A process of its own is led over it by a [Proxy].
package linktest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// Fate is what becomes of one command.
type Fate int

// The fates.
const (
	Deliver    Fate = iota
	KillBefore      // the process ends before the command is sent
	KillAfter       // the process ends after the command was sent; the store carries it out
	Lose            // the store never gets it; the process sees a broken connection
	Late            // as Lose, but the store gets it after Delay
	Repeat          // delivered and answered, and delivered once more after Delay
	Unanswered      // the store carries it out; the process sees a broken connection
)

// Command is one command on its way.
type Command struct {
	N     int    // counted from 1, over both stores
	Store string // "mongodb" or "dynamodb"
	Name  string // such as "renameCollection" or "PutItem"
	// Body is the command: a document for MongoDB, JSON for DynamoDB.
	Body []byte
}

// String names the command in messages.
func (c Command) String() string { return fmt.Sprintf("command %d, %s of %s", c.N, c.Name, c.Store) }

// Link is one process's connections. Choose, if set, decides about each command; it must be
// safe for concurrent use, and the command waits for it. The zero Link delivers everything.
type Link struct {
	Choose func(Command) Fate
	Delay  time.Duration // of late commands and repetitions
	// DelayOf, if set, is asked for the delay of each, instead.
	DelayOf func(Command) time.Duration
	// Held, if set, keeps them until it is closed, instead.
	Held <-chan struct{}

	mu     sync.Mutex
	sent   int
	killed bool
	ends   []context.CancelCauseFunc // of the contexts that end with the process
	late   sync.WaitGroup
}

// ErrKilled is what a process gets for what does not arrive: all that it sends, once it was
// killed.
var ErrKilled error = &net.OpError{Op: "write", Err: errors.New("broken by the test")}

// Killed reports whether the process was killed.
func (l *Link) Killed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.killed
}

// Kill ends the process: nothing that it sends arrives any more.
func (l *Link) Kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = true
	l.endLocked()
}

func (l *Link) endLocked() {
	for _, end := range l.ends {
		end(ErrKilled)
	}
	l.ends = nil
}

// Context returns a context that also ends when the process is killed: what runs in it ends
// as a killed process does, and does not try again until it gives up.
func (l *Link) Context(ctx context.Context) context.Context {
	ctx, end := context.WithCancelCause(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends = append(l.ends, end); l.killed {
		l.endLocked()
	}
	return ctx
}

// Sent is the number of commands so far.
func (l *Link) Sent() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent
}

// AwaitLate returns when all late commands and repetitions have been delivered.
func (l *Link) AwaitLate() { l.late.Wait() }

// fate is what becomes of a command, and after which delay.
func (l *Link) fate(store, name string, body []byte) (Fate, time.Duration) {
	l.mu.Lock()
	if l.killed {
		l.mu.Unlock()
		return KillBefore, 0
	}
	l.sent++
	c := Command{N: l.sent, Store: store, Name: name, Body: body}
	l.mu.Unlock()
	if l.Choose == nil {
		return Deliver, 0
	}
	switch f := l.Choose(c); {
	case f == KillBefore || f == KillAfter:
		l.Kill()
		return f, 0
	case (f == Late || f == Repeat) && l.DelayOf != nil:
		return f, l.DelayOf(c)
	default:
		return f, l.Delay
	}
}

// RoundTripper is an HTTP transport for a DynamoDB client.
func (l *Link) RoundTripper(next http.RoundTripper) http.RoundTripper { return transport{l, next} }

type transport struct {
	*Link
	next http.RoundTripper
}

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := bodyOf(r)
	if err != nil {
		return nil, err
	}
	fate, delay := t.fate("dynamodb", name, body)
	switch fate {
	case KillBefore, Lose:
		return nil, ErrKilled
	case KillAfter, Unanswered:
		t.send(r, body)
		return nil, ErrKilled
	case Late:
		t.later(delay, func() { t.send(r, body) })
		return nil, ErrKilled
	case Repeat:
		t.later(delay, func() { t.send(r, body) })
	}
	return t.next.RoundTrip(r)
}

// later runs deliver after a delay.
func (l *Link) later(delay time.Duration, deliver func()) {
	if l.Held != nil {
		l.late.Go(func() { <-l.Held; deliver() })
		return
	}
	l.late.Add(1)
	time.AfterFunc(delay, func() {
		defer l.late.Done()
		deliver()
	})
}

// ContextDialer is that of the MongoDB driver.
type ContextDialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Dialer makes connections over the link, which next dials; nil means the network.
func (l *Link) Dialer(next ContextDialer) ContextDialer {
	if next == nil {
		next = &net.Dialer{}
	}
	return dialer{l, next}
}

type dialer struct {
	*Link
	next ContextDialer
}

// DialContext implements ContextDialer.
func (d dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if d.Killed() {
		return nil, ErrKilled
	}
	conn, err := d.next.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &link{Conn: conn, l: d.Link, address: address}, nil
}

// link is one connection to MongoDB. The driver writes one message a call.
type link struct {
	net.Conn
	l       *Link
	address string
	hello   []byte // its first message, which says whose it is

	mu         sync.Mutex
	held       bool // a late command is to be sent over it: Close leaves it open
	unanswered bool // the next answer is not passed on
}

// handshake are the commands that a driver sends by itself.
var handshake = map[string]bool{"hello": true, "isMaster": true, "ismaster": true, "ping": true, "endSessions": true, "saslStart": true,
	"saslContinue": true}

func (c *link) Write(message []byte) (int, error) {
	name, body := commandOf(message)
	if c.hello == nil {
		c.hello = append([]byte(nil), message...)
	}
	if name == "" || handshake[name] {
		if c.l.Killed() {
			return 0, c.breakOff()
		}
		return c.Conn.Write(message)
	}
	fate, delay := c.l.fate("mongodb", name, body)
	switch fate {
	case KillBefore, Lose:
		return 0, c.breakOff()
	case KillAfter:
		_, err := c.Conn.Write(message)
		return len(message), err
	case Late:
		c.hold()
		kept := append([]byte(nil), message...)
		c.l.later(delay, func() {
			_, _ = c.Conn.Write(kept) // the store may be gone by now
			awaitAnswer(c.Conn)
		})
		return 0, c.breakOff()
	case Repeat:
		kept := append([]byte(nil), message...)
		c.l.later(delay, func() { c.sendAgain(kept) })
	case Unanswered:
		c.mu.Lock()
		c.unanswered = true
		c.mu.Unlock()
	}
	return c.Conn.Write(message)
}

// sendAgain delivers a message over a connection of its own, which says whose it is, too.
func (c *link) sendAgain(message []byte) {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	size := make([]byte, 4)
	if _, err = conn.Write(c.hello); err == nil {
		_, err = io.ReadFull(conn, size)
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, conn, int64(binary.LittleEndian.Uint32(size))-4)
	}
	if err == nil {
		_, err = conn.Write(message)
	}
	if err == nil {
		awaitAnswer(conn)
	}
	_ = conn.Close()
}

// awaitAnswer reads until the store has answered, so that the command was carried out.
func awaitAnswer(conn net.Conn) {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, _ = conn.Read(make([]byte, 4))
	_ = conn.Close()
}

// Read fails once the process was killed, a late command is to be sent over the connection,
// or an answer has come that is lost.
func (c *link) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.l.Killed() || c.isBroken() {
		return 0, c.breakOff()
	}
	return n, err
}

func (c *link) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held || c.unanswered
}

// Close implements net.Conn.
func (c *link) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held {
		return nil
	}
	return c.Conn.Close()
}

func (c *link) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = true
	_ = c.SetReadDeadline(time.Now()) // whoever reads ends
}

func (c *link) breakOff() error {
	_ = c.Close()
	return ErrKilled
}

// commandOf returns the name and the document of the command in an OP_MSG, "" for others.
func commandOf(message []byte) (string, bson.Raw) {
	const header, opMsg = 16, 2013
	if len(message) < header+5 || binary.LittleEndian.Uint32(message[12:]) != opMsg || message[header+4] != 0 {
		return "", nil
	}
	doc := bson.Raw(message[header+5:])
	if size := int(binary.LittleEndian.Uint32(doc)); size <= len(doc) {
		doc = append(bson.Raw(nil), doc[:size]...)
	}
	first, err := doc.IndexErr(0)
	if err != nil {
		return "", nil
	}
	return first.Key(), doc
}
