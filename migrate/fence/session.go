package fence

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// Dial connects to the entity's MongoDB under an application name: to the deployment for
// host "", else to that one server of it. A dialer that is not nil makes the connections.
type Dial func(application, host string, dialer options.ContextDialer) (*mongo.Client, error)

// Session sends the commands that change names: over connections of its own, which the
// server lists under an application name of its own. So it can be proved that none of them
// is on its way any more, also of a process that sleeps: see [Session.open]. It is safe
// for concurrent use; Close it.
type Session struct {
	// Without are members of the replica set of which an operator says that they are down for
	// good: no proof needs their answer. It is set before the first command.
	Without []string

	dial     Dial
	database string
	prefix   string // of the application names of all sessions of the entity

	mu          sync.Mutex
	client      *mongo.Client
	application string
	down        []string // those of Without that did not answer
}

// gate makes connections until it is shut.
type gate struct {
	net.Dialer
	shut atomic.Bool
}

var errShut = errors.New("the session makes no further connections")

// DialContext implements options.ContextDialer.
func (g *gate) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if g.shut.Load() {
		return nil, errShut
	}
	return g.Dialer.DialContext(ctx, network, address)
}

// NewSession opens no connection yet.
func NewSession(dial Dial, database, entity string) *Session {
	return &Session{dial: dial, database: database, prefix: "banyan-migrate ddl " + entity + " "}
}

// Close ends the session's connections, within two seconds.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeLocked()
}

func (s *Session) closeLocked() {
	if s.client == nil {
		return
	}
	disconnect(s.client)
	s.client, s.application = nil, ""
}

// disconnect ends a client's connections. What it sent is looked for on the server.
func disconnect(client *mongo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = client.Disconnect(ctx)
}

// open connects, unless the session is connected. From then on it makes no further
// connection: what it sends, it sends over one that the server lists since before open
// returned, or not at all. So whoever decides after open that a command is right can be
// seen by others until the command was carried out, however long it sleeps in between.
func (s *Session) open(ctx context.Context) (*mongo.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	g := &gate{Dialer: net.Dialer{Timeout: 5 * time.Second}}
	application := s.prefix + uuid.NewString()[:8] // a server accepts 128 bytes
	client, err := s.dial(application, "", g)
	if err != nil {
		return nil, fmt.Errorf("connect to MongoDB: %w", err)
	}
	if err := client.Ping(ctx, readpref.Primary()); err != nil { // the one that takes the commands
		disconnect(client)
		return nil, retry.Reachable("MongoDB", "MONGODB_URI", err)
	}
	g.shut.Store(true)
	s.client, s.application = client, application
	return client, nil
}

// ErrUncertain says that a command may or may not have been carried out, or may still be.
var ErrUncertain = errors.New("MongoDB did not answer, so the command may have been carried out")

// errClosed: the session was closed since it was opened; open it, and decide again.
var errClosed = errors.New("the connection was closed before the command was sent")

// run sends one command once, over the connection of the last open. After an error that
// is not the server's answer, the session is closed, and the error wraps ErrUncertain.
func (s *Session) run(ctx context.Context, database string, command bson.D) error {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client == nil {
		return errClosed
	}
	db := client.Database(database, options.Database().SetWriteConcern(writeconcern.Majority()))
	command = append(command, bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}}})
	err := db.RunCommand(ctx, command).Err()
	if err == nil || isAnswer(err) {
		return err
	}
	s.Close()
	return fmt.Errorf("%w: %w", ErrUncertain, err)
}

// rename sends one renameCollection, conditional on the collection's UUID where uuid is
// not "".
func (s *Session) rename(ctx context.Context, from, to, uuid string) error {
	command := bson.D{{Key: "renameCollection", Value: s.database + "." + from}, {Key: "to", Value: s.database + "." + to}}
	if err := s.run(ctx, "admin", conditional(command, uuid)); err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return nil
}

// createView creates a read-only view with a collation, nil for none.
func (s *Session) createView(ctx context.Context, name, on string, collation bson.Raw) error {
	command := bson.D{{Key: "create", Value: name}, {Key: "viewOn", Value: on}, {Key: "pipeline", Value: bson.A{}}}
	if collation != nil {
		command = append(command, bson.E{Key: "collation", Value: collation})
	}
	if err := s.run(ctx, s.database, command); err != nil {
		return fmt.Errorf("create the view %s on %s: %w", name, on, err)
	}
	return nil
}

// pointView makes an existing view one on another name. A late one leads by way of other
// views to the same collection; for a collection the server refuses it.
func (s *Session) pointView(ctx context.Context, name, on string) error {
	command := bson.D{{Key: "collMod", Value: name}, {Key: "viewOn", Value: on}, {Key: "pipeline", Value: bson.A{}}}
	if err := s.run(ctx, s.database, command); err != nil {
		return fmt.Errorf("point the view %s to %s: %w", name, on, err)
	}
	return nil
}

// drop drops what has a name, conditional on the collection's UUID where uuid is not "".
func (s *Session) drop(ctx context.Context, name, uuid string) error {
	if err := s.run(ctx, s.database, conditional(bson.D{{Key: "drop", Value: name}}, uuid)); err != nil {
		return fmt.Errorf("drop %s: %w", name, err)
	}
	return nil
}

func conditional(command bson.D, uuid string) bson.D {
	data, err := hex.DecodeString(uuid)
	if err != nil || len(data) == 0 {
		return command
	}
	return append(command, bson.E{Key: "collectionUUID", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: data}})
}

// ErrNotAlone says that connections are open over which an earlier command may still arrive.
var ErrNotAlone = errors.New("connections of another banyan-migrate process are open, over which an earlier command may still arrive; " +
	"end that process, or wait until the server has closed them")

// proveAlone returns nil when no server of the deployment has a connection of another
// session of this entity: then no command of theirs can arrive any more. A server that is down
// may come back with none of the connections that it had; one that is only out of reach from
// here may still have them, and only an operator tells the two apart (Without). A connection on
// which a kernel or a proxy holds back what was sent is open, and listed. The session need
// not be open; admin is that of any client.
func (s *Session) proveAlone(ctx context.Context, admin *mongo.Database) error {
	s.mu.Lock()
	own := s.application
	s.mu.Unlock()
	hello, err := mongoserver.AskHello(ctx, admin)
	if err != nil {
		return err
	}
	members := hello.Members()
	for _, host := range s.Without {
		if !slices.Contains(members, host) {
			return fmt.Errorf("%w: %s is none of %s", ErrNoMember, host, strings.Join(members, ", "))
		}
	}
	for _, host := range members {
		if s.isDown(host) {
			continue
		}
		err := s.proveAloneOn(ctx, host, own)
		switch {
		case err == nil:
		case errors.Is(err, ErrNotAlone) || isAnswer(err):
			return fmt.Errorf("look for earlier commands on %s: %w", host, err)
		case slices.Contains(s.Without, host):
			s.mu.Lock()
			s.down = append(s.down, host)
			s.mu.Unlock()
		default:
			return fmt.Errorf("look for earlier commands on %s: %w; if this member is down for good, remove it from the replica set, or say "+
				"--without-member %s", host, err, host)
		}
	}
	return nil
}

// ErrNoMember says that an operator named a server that the replica set does not have.
var ErrNoMember error = retry.Permanent("no member of the replica set has this address")

func (s *Session) isDown(host string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.down, host)
}

// isAnswer reports whether an error is what a server has answered.
func isAnswer(err error) bool {
	var answer mongo.ServerError
	return errors.As(err, &answer) && !mongo.IsNetworkError(err) && !mongo.IsTimeout(err)
}

func (s *Session) proveAloneOn(ctx context.Context, host, own string) error {
	client, err := s.dial("banyan-migrate look", host, nil)
	if err != nil {
		return err
	}
	defer disconnect(client)
	prefix := bson.Regex{Pattern: "^" + regexp.QuoteMeta(s.prefix)}
	cursor, err := client.Database("admin").Aggregate(ctx, mongo.Pipeline{
		{{Key: "$currentOp", Value: bson.D{{Key: "allUsers", Value: true}, {Key: "idleConnections", Value: true}}}},
		{{Key: "$match", Value: bson.D{{Key: "appName", Value: prefix}}}}})
	if err != nil {
		return fmt.Errorf("it needs the privilege inprog on the cluster: %w", err)
	}
	var all []struct {
		Application string `bson:"appName"`
		Client      string `bson:"client"`
	}
	if err := cursor.All(ctx, &all); err != nil {
		return err
	}
	var others []string
	for _, c := range all {
		if c.Application != own {
			others = append(others, c.Client)
		}
	}
	if len(others) > 0 {
		return fmt.Errorf("%w (from %s)", ErrNotAlone, strings.Join(others, ", "))
	}
	return nil
}
