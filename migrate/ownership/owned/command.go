package owned

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// majority is the write concern of every write.
var majority = bson.E{Key: "writeConcern", Value: bson.D{{Key: "w", Value: "majority"}}}

// outcome of a write that the server carried out.
type outcome struct {
	n       int64 // documents that it inserted, matched or deleted
	certain bool  // the server knew which collection was meant
}

// write carries out one write, once, however often it is sent.
func (h Handle) write(ctx context.Context, command bson.D) (out outcome, err error) {
	var s *numbered
	defer func() { h.c.sessions.release(s) }()
	numbering := true
	err = h.c.db.Do(ctx, func(ctx context.Context, db *mongo.Database) (err error) {
		out = outcome{}
		if s, err = h.c.sessions.acquire(db.Client(), s); err != nil {
			return err
		}
		full, certain, err := h.conditional(ctx, db, append(slices.Clip(command), majority))
		if err != nil {
			return err
		}
		reply, err := s.run(ctx, db, full, numbering)
		if isStandalone(err) {
			numbering = false
			reply, err = s.run(ctx, db, full, numbering)
		}
		if err != nil {
			return err
		}
		n, _ := reply.Lookup("n").AsInt64OK()
		out = outcome{n: n, certain: certain}
		return nil
	})
	return out, err
}

// run sends a command that may be repeated as it is.
func (h Handle) run(ctx context.Context, command bson.D) error {
	return h.c.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		full, _, err := h.conditional(ctx, db, command)
		if err != nil {
			return err
		}
		return db.RunCommand(ctx, full).Err()
	})
}

// query runs a find command to its end.
func (h Handle) query(ctx context.Context, command bson.D) (docs []bson.Raw, certain bool, err error) {
	err = h.c.db.Do(ctx, func(ctx context.Context, db *mongo.Database) error {
		docs = nil
		full, conditional, err := h.conditional(ctx, db, command)
		if err != nil {
			return err
		}
		certain = conditional
		cursor, err := db.RunCommandCursor(ctx, full)
		if err != nil {
			return err
		}
		defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
		for cursor.Next(ctx) {
			docs = append(docs, slices.Clone(cursor.Current))
		}
		return cursor.Err()
	})
	return docs, certain, err
}

// conditional adds the collection's UUID to a command, where it is granted and the server
// takes it, and whose command it is.
func (h Handle) conditional(ctx context.Context, db *mongo.Database, command bson.D) (bson.D, bool, error) {
	if commented, err := h.c.takesComments(ctx, db); err != nil {
		return nil, false, err
	} else if commented {
		command = append(slices.Clip(command), bson.E{Key: "comment", Value: ownership.Comment(h.c.name)})
	}
	if h.uuid == "" {
		return command, false, nil
	}
	id, err := binaryOf(h.uuid)
	if err != nil {
		return nil, false, err
	}
	takes, err := h.c.takesUUID(ctx, db, h.name)
	if err != nil || !takes {
		return command, false, err
	}
	return append(slices.Clip(command), bson.E{Key: "collectionUUID", Value: id}), true, nil
}

// takesUUID finds out, once for each client, whether its server makes commands conditional
// on a collectionUUID.
func (c *Collection) takesUUID(ctx context.Context, db *mongo.Database, name string) (bool, error) {
	c.mu.Lock()
	tried, takes := c.tried == db.Client(), c.takes
	c.mu.Unlock()
	if tried {
		return takes, nil
	}
	takes, err := mongoserver.AcceptsCollectionUUID(ctx, db, name)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried, c.takes = db.Client(), takes
	return takes, nil
}

// takesComments finds out, once for each client, whether its server takes a comment with
// every command.
func (c *Collection) takesComments(ctx context.Context, db *mongo.Database) (bool, error) {
	c.mu.Lock()
	greeted, comments := c.greeted == db.Client(), c.comments
	c.mu.Unlock()
	if greeted {
		return comments, nil
	}
	hello, err := mongoserver.AskHello(ctx, db)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.greeted, c.comments = db.Client(), hello.AcceptsComments()
	return c.comments, nil
}

// isStandalone reports whether the server keeps no transaction numbers.
func isStandalone(err error) bool { return mongoerr.HasCode(err, mongoerr.IllegalOperation) }

// firstNumber is above every transaction number that the driver counts up to in a
// session, as sessions come from its pool.
const firstNumber = 1 << 40

// numbered is a server session, and the transaction number of the write in it. The server
// does a write once under one number, and refuses one of a lower number, so that what
// arrives late behind the next write of the session has no effect.
type numbered struct {
	client  *mongo.Client
	session *mongo.Session
	number  int64
}

// run sends a write under the present number.
func (n *numbered) run(ctx context.Context, db *mongo.Database, command bson.D, numbering bool) (bson.Raw, error) {
	if numbering {
		command = append(slices.Clip(command), bson.E{Key: "txnNumber", Value: n.number})
	}
	return db.RunCommand(mongo.NewSessionContext(ctx, n.session), command).Raw()
}

// sessions are those of one client that no write is using. They never go back to the
// driver, whose numbers are lower; the server forgets them half an hour after their use.
type sessions struct {
	mu   sync.Mutex
	free []*numbered
}

// acquire returns a session with a new number, or the present one if it is the client's.
func (s *sessions) acquire(client *mongo.Client, present *numbered) (*numbered, error) {
	if present != nil && present.client == client {
		return present, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.free) > 0 {
		last := s.free[len(s.free)-1]
		s.free = s.free[:len(s.free)-1]
		if last.client == client { // else of a client that has gone
			last.number++
			return last, nil
		}
	}
	session, err := client.StartSession(options.Session().SetCausalConsistency(false))
	if err != nil {
		return nil, fmt.Errorf("start a session: %w", err)
	}
	return &numbered{client: client, session: session, number: firstNumber}, nil
}

func (s *sessions) release(n *numbered) {
	if n == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, n)
}
