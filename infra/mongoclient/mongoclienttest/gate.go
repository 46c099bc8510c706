// Package mongoclienttest adds users and passwords to the sandbox's MongoDB,
// which has none: a [Gate] is a proxy for the wire protocol that lets clients log in by the
// mechanism PLAIN, and forwards the commands of those that did.
package mongoclienttest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/wire"
)

// Gate is a MongoDB with users. It is closed when its test ends.
type Gate struct {
	listener net.Listener
	backend  string
	running  sync.WaitGroup
	logIns   atomic.Int64
	refusals atomic.Int64

	mu    sync.Mutex
	users map[string]string // name to password
	conns map[*connection]bool
	ended bool
}

// New starts a gate before the MongoDB of a URI, without users.
func New(t testing.TB, backend string) *Gate {
	t.Helper()
	u, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{listener: l, backend: u.Host, users: map[string]string{}, conns: map[*connection]bool{}}
	g.running.Go(g.accept)
	t.Cleanup(g.Close)
	return g
}

// URI returns the URI for a user.
func (g *Gate) URI(user, password, database string) string {
	return "mongodb://" + url.QueryEscape(user) + ":" + url.QueryEscape(password) + "@" + g.listener.Addr().String() + "/" + database +
		"?directConnection=true&authMechanism=PLAIN&authSource=%24external"
}

// SetUser creates a user, or changes its password: connections that are logged in stay so, as
// in MongoDB.
func (g *Gate) SetUser(user, password string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.users[user] = password
}

// Drop removes a user: its connections stay open, and commands on them are
// refused, as in MongoDB.
func (g *Gate) Drop(user string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.users, user)
}

// Open counts the connections on which the user has logged in.
func (g *Gate) Open(user string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for p := range g.conns {
		if p.user == user {
			n++
		}
	}
	return n
}

// LogIns counts successful log-ins, and Refused counts refused log-ins and
// commands.
func (g *Gate) LogIns() int64 { return g.logIns.Load() }

// Refused is documented at LogIns.
func (g *Gate) Refused() int64 { return g.refusals.Load() }

// Close cuts all connections and accepts no more, like a host that is down.
func (g *Gate) Close() {
	g.mu.Lock()
	g.ended = true
	for p := range g.conns {
		p.close()
	}
	g.mu.Unlock()
	_ = g.listener.Close()
	g.running.Wait()
}

func (g *Gate) accept() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", g.backend)
		if err != nil {
			_ = client.Close()
			continue
		}
		p := &connection{gate: g, client: client, server: server}
		g.mu.Lock()
		if g.ended {
			p.close()
		}
		g.conns[p] = true
		g.mu.Unlock()
		g.running.Go(p.forwardRequests)
		g.running.Go(p.forwardResponses)
	}
}

// connection is one connection through the gate.
type connection struct {
	gate           *Gate
	client, server net.Conn
	writing        sync.Mutex // of whole messages to the client
	user           string     // guarded by the gate's mutex; "" before the log-in
}

func (p *connection) close() { _, _ = p.client.Close(), p.server.Close() }

// forwardRequests forwards the commands that the client is authorized for.
func (p *connection) forwardRequests() {
	defer func() {
		p.close()
		p.gate.mu.Lock()
		delete(p.gate.conns, p)
		p.gate.mu.Unlock()
	}()
	for {
		var raw bytes.Buffer
		m, err := wire.Read(io.TeeReader(p.client, &raw))
		if err != nil {
			return
		}
		command := ""
		if first, err := m.Body.IndexErr(0); err == nil {
			command = first.Key()
		}
		switch {
		case command == "saslStart":
			err = p.respond(m, p.logIn(m.Body))
		case !p.isAuthorized(command):
			p.gate.refusals.Add(1)
			err = p.respond(m, refusal(13, "Unauthorized", "command "+command+" requires authentication"))
		default:
			_, err = p.server.Write(raw.Bytes())
		}
		if err != nil {
			return
		}
	}
}

// isAuthorized reports whether a command needs no user, or its user still exists.
func (p *connection) isAuthorized(command string) bool {
	switch strings.ToLower(command) {
	case "hello", "ismaster", "endsessions":
		return true
	}
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	_, there := p.gate.users[p.user]
	return there
}

// logIn checks a PLAIN payload (RFC 4616): an empty text, the user and the password, separated by NULs.
func (p *connection) logIn(body bsoncore.Document) bson.D {
	_, payload, _ := body.Lookup("payload").BinaryOK()
	parts := strings.Split(string(payload), "\x00")
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	if password, there := p.gate.users[parts[min(1, len(parts)-1)]]; len(parts) != 3 || !there || password != parts[2] {
		p.gate.refusals.Add(1)
		return refusal(18, "AuthenticationFailed", "Authentication failed.")
	}
	p.user = parts[1]
	p.gate.logIns.Add(1)
	return bson.D{{Key: "conversationId", Value: int32(1)}, {Key: "done", Value: true}, {Key: "payload", Value: []byte{}}, {Key: "ok", Value: 1.0}}
}

func refusal(code int32, name, message string) bson.D {
	return bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: message}, {Key: "code", Value: code}, {Key: "codeName", Value: name}}
}

func (p *connection) respond(to *wire.Message, body bson.D) error {
	text, err := bson.Marshal(body)
	if err != nil {
		return err
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	return wire.Write(p.client, to, 1, text)
}

// forwardResponses forwards the server's messages, one at a time.
func (p *connection) forwardResponses() {
	defer p.close()
	for {
		message, err := readMessage(p.server)
		if err != nil {
			return
		}
		p.writing.Lock()
		_, err = p.client.Write(message)
		p.writing.Unlock()
		if err != nil {
			return
		}
	}
}

var errLength = errors.New("invalid message length")

// readMessage reads one whole message.
func readMessage(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < 16 || n > wire.MaxMessage {
		return nil, errLength
	}
	message := make([]byte, n)
	copy(message, length[:])
	_, err := io.ReadFull(r, message[4:])
	return message, err
}
