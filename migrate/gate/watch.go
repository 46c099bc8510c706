package gate

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
)

// watch is the watching of one server.
type watch struct {
	Server
	gate  *Gate
	admin *mongo.Database // of that server
	open  time.Duration   // how long the oldest open transaction has lasted

	seen    []control.Client
	clients map[string]int // operations that run on, by their ids, so that each counts once
}

// The names of the kinds of evidence.
const (
	byProfiler  = "profiler"
	byCurrentOp = "currentOp"
	byTop       = "top"
)

// answerTimeout bounds one question to a server, finishTimeout what is done at the end.
const (
	answerTimeout = 5 * time.Second
	finishTimeout = 10 * time.Second
)

// askAttempts is how often a question is asked whose answer was lost. A server that is
// slow or gone is a gap soon, others are watched meanwhile.
const askAttempts = 4

// ask asks until there is an answer, or none is to be had.
func ask(ctx context.Context, question func(context.Context) error) (err error) {
	for i := range askAttempts {
		attempt, cancel := context.WithTimeout(ctx, answerTimeout)
		err = question(attempt)
		cancel()
		if err == nil || ctx.Err() != nil || retry.IsPermanent(err) || retry.IsUnreachable(err) || retry.Wait(ctx, i) != nil {
			return err
		}
	}
	return err
}

// run watches the server until the time is over or ctx ends.
func (s *watch) run(ctx context.Context, d time.Duration) {
	begin := time.Now()
	if err := s.tryRun(ctx, begin, d); err != nil && ctx.Err() == nil {
		s.Gaps = append(s.Gaps, Gap{From: begin.UTC(), To: time.Now().UTC(), Why: err.Error()})
	}
}

func (s *watch) tryRun(ctx context.Context, begin time.Time, d time.Duration) error {
	marker := markerPrefix + s.gate.Entity + " " + uuid.NewString()[:8]
	client, err := s.gate.Dial(ownApplications+" gate", s.Host)
	if err != nil {
		return err
	}
	defer func() {
		out, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
		defer cancel()
		_ = client.Disconnect(out)
	}()
	s.admin = client.Database("admin")
	db := client.Database(s.gate.DB.Name())
	p, err := s.startProfiler(ctx, db, marker)
	if err != nil {
		return err
	}
	if p != nil {
		defer func() {
			if err := p.stop(context.WithoutCancel(ctx)); err != nil {
				s.gate.Log.Warn("restore the settings of the profiler: failed; the next command of banyan-migrate does it", "server", s.Host, "error", err)
			}
		}()
	}
	counted, err := s.countTop(ctx, p != nil)
	if err != nil {
		return err
	}
	if err := s.look(ctx, p, begin, d); err != nil || counted == nil {
		return err
	}
	after, err := s.top(ctx)
	s.Reads, s.Writes = after.reads-counted.reads, after.writes-counted.writes
	return err
}

// look looks again and again.
func (s *watch) look(ctx context.Context, p *profiler, begin time.Time, d time.Duration) error {
	for {
		over := time.Since(begin) >= d
		if err := ask(ctx, s.sample); err != nil {
			return err
		}
		if p != nil {
			if err := ask(ctx, p.read); err != nil {
				return err
			}
		}
		if over {
			return nil
		}
		if err := backoff.Sleep(ctx, min(pause(d), max(0, d-time.Since(begin)))); err != nil {
			return err
		}
	}
}

// use notes by what the server is watched.
func (s *watch) use(evidence string) {
	if !slices.Contains(s.Evidence, evidence) {
		s.Evidence = append(s.Evidence, evidence)
	}
}

// miss notes what cannot be used, once.
func (s *watch) miss(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(s.Missing, text) {
		s.Missing = append(s.Missing, text)
	}
}

// operation is one of $currentOp.
type operation struct {
	Application string        `bson:"appName"`
	Client      string        `bson:"client"`
	ID          bson.RawValue `bson:"opid"`
	Op          string        `bson:"op"`
	Namespace   string        `bson:"ns"`
	Command     bson.Raw      `bson:"command"`
	Users       []struct {
		User string `bson:"user"`
		DB   string `bson:"db"`
	} `bson:"effectiveUsers"`
	Transaction struct {
		OpenMicros int64 `bson:"timeOpenMicros"`
	} `bson:"transaction"`
}

// sample looks at the operations that run now.
func (s *watch) sample(ctx context.Context) error {
	cursor, err := s.admin.Aggregate(ctx, mongo.Pipeline{
		{{Key: "$currentOp", Value: bson.D{{Key: "allUsers", Value: true}, {Key: "idleSessions", Value: true}}}},
		{{Key: "$match", Value: bson.D{{Key: "$or", Value: bson.A{s.gate.namespaces(),
			bson.D{{Key: "transaction.timeOpenMicros", Value: bson.D{{Key: "$exists", Value: true}}}}}}}}}})
	if mongoerr.IsPermanent(err) {
		s.miss("running operations cannot be seen: it needs the privilege inprog on the cluster, as clusterMonitor has it (%v)", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the running operations: %w", err)
	}
	var all []operation
	if err := cursor.All(ctx, &all); err != nil {
		return fmt.Errorf("look at the running operations: %w", err)
	}
	s.use(byCurrentOp)
	s.open = 0
	for _, op := range all {
		s.open = max(s.open, time.Duration(op.Transaction.OpenMicros)*time.Microsecond)
		if comment, _ := op.Command.Lookup("comment").StringValueOK(); op.Client == "" || !s.gate.isOthers(op.Namespace, op.Application, comment) {
			continue
		}
		user := ""
		if len(op.Users) > 0 {
			user = op.Users[0].User + "@" + op.Users[0].DB
		}
		s.note(op.Op, op.Command, 0, time.Now(), control.Client{Application: op.Application, User: user, Address: op.Client,
			Namespace: op.Namespace, Evidence: byCurrentOp}, op.ID.String())
	}
	return nil
}

// note adds an operation of somebody else's. id tells one that runs on from the next one;
// it is "" for operations that have ended, and count then.
func (s *watch) note(op string, command bson.Raw, code int, at time.Time, c control.Client, id string) {
	if host, _, err := net.SplitHostPort(c.Address); err == nil {
		c.Address = host
	}
	c.Server, c.LastSeen = s.Host, at.UTC()
	one := int64(1)
	if id != "" { // the profiler counts it when it ends
		s.clients[id]++
		if s.clients[id] > 1 || slices.Contains(s.Evidence, byProfiler) {
			one = 0
		}
	}
	var writes bool
	c.Command, writes = classify(op, command)
	switch {
	case writes && code == mongoerr.CommandNotSupportedOnView:
		c.Refused = one
	case writes:
		c.Writes, c.LastWrite = one, c.LastSeen
	default:
		c.Reads = one
	}
	s.seen = control.AddClient(s.seen, c)
}

// writing are the commands that change a collection, besides those with an op of their own.
var writing = []string{"insert", "update", "delete", "findAndModify", "findandmodify", "bulkWrite", "createIndexes", "dropIndexes", "collMod", "drop",
	"create", "convertToCapped", "renameCollection"}

// classify names the command of an operation, and reports whether it changes something.
func classify(op string, command bson.Raw) (name string, writes bool) {
	if op == "insert" || op == "update" || op == "remove" {
		return op, true
	}
	name = op
	if first, err := command.IndexErr(0); err == nil && op != "getmore" {
		name = cmp.Or(first.Key(), op)
	}
	return name, slices.Contains(writing, name)
}

// totals are the operations that top has counted on the collection.
type totals struct{ reads, writes int64 }

// countTop begins to count where the profiler is not used; nil where it need not or cannot.
func (s *watch) countTop(ctx context.Context, profiled bool) (*totals, error) {
	if profiled {
		return nil, nil
	}
	t, err := s.top(ctx)
	if mongoerr.IsPermanent(err) {
		s.miss("operations cannot be counted: it needs the privilege top on the cluster, as clusterMonitor has it (%v)", err)
		return nil, nil
	}
	if err == nil {
		s.use(byTop)
	}
	return &t, err
}

func (s *watch) top(ctx context.Context) (t totals, err error) {
	var reply bson.Raw
	err = ask(ctx, func(ctx context.Context) (err error) {
		reply, err = s.admin.RunCommand(ctx, bson.D{{Key: "top", Value: 1}}).Raw()
		return err
	})
	if err != nil {
		return t, err
	}
	all, _ := reply.Lookup("totals").DocumentOK()
	elements, _ := all.Elements()
	for _, e := range elements {
		if ns, ok := strings.CutPrefix(e.Key(), s.gate.DB.Name()+"."); !ok || ns != s.gate.Collection {
			continue
		}
		count := func(kind string) int64 {
			n, _ := e.Value().Document().Lookup(kind, "count").AsInt64OK()
			return n
		}
		t.reads += count("queries") + count("getmore") + count("commands")
		t.writes += count("insert") + count("update") + count("remove")
	}
	return t, nil
}
