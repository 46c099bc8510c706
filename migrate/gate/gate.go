// Package gate looks who uses an entity's collection besides the service that owns it, by
// the server's own evidence: on every member of the replica set, reads and writes apart,
// by application name, user, address and command.
//
//	g := gate.Gate{DB: db, Dial: dial, Names: "users", Collection: "users", Service: service}
//	evidence, err := g.Watch(ctx, time.Minute)
//	refusals, warnings := gate.Judge(evidence, evidence.Clients, plan.Gate)
//
// # Evidence, the best that each member allows
//
//   - The profiler, with a filter (MongoDB 4.4.2 and later; the privileges enableProfiler
//     on the database and find on system.profile). It misses nothing that ends while it
//     records, and that is proved: the gate's own commands must be there, too. See profiler.go.
//   - $currentOp, sampled (inprog on the cluster): short operations are seen by luck, those
//     that run on and on certainly. It is used beside the profiler, which shows operations
//     when they end.
//   - top (on the cluster): how many operations there were, the service's among them, not
//     whose. Used where the profiler is not to be had.
//
// The change stream tells of each write whether it set the plan's version field. What is
// the service's is told by the comment of its commands, or by an application name that
// only it has (migrate/ownership/CONTRACT.md); what is the migration's, by an application
// name that begins with "banyan-migrate".
//
// # Caveats
//
//   - It cannot see who does nothing while it looks. A member that could not be asked, and
//     a time in which the profiler recorded nothing, are gaps, and no silence.
//   - Hidden members are not asked: they are not in the list that servers give to clients.
//   - Of the profiler, the privileges, and what a member shows that is no primary, all
//     rests on MongoDB's manual, its sources, and the sandbox: no mongod was available.
package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoserver"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/migrate/changes"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/source"
)

// DefaultWatch is how long a gate looks where nobody says otherwise.
const DefaultWatch = 10 * time.Second

// ownApplications is what the application names of the migration's connections begin with.
const ownApplications = "banyan-migrate"

// Service is what is known of the service that owns the entity.
type Service struct {
	// AppNames are those that its instances have registered.
	AppNames []string
	// Instances is how many are registered.
	Instances int
}

// ServiceOf is what the rows of a service's instances say of it.
func ServiceOf(members []ownership.MemberState) Service {
	s := Service{Instances: len(members)}
	for _, m := range members {
		if m.AppName != "" && !slices.Contains(s.AppNames, m.AppName) {
			s.AppNames = append(s.AppNames, m.AppName)
		}
	}
	return s
}

// Gate watches one collection. It is safe for concurrent use.
type Gate struct {
	DB *mongo.Database // of the primary; writes with majority
	// Dial connects to one server of the same deployment under an application name.
	Dial func(application, host string) (*mongo.Client, error)
	// Control keeps what the settings of the profilers were, and Entity is whose it is.
	Control *control.Store
	Entity  string
	// Names are those of the collection, Collection the present one.
	Names      names.Names
	Collection string
	// VersionField is the field that the service sets with every write; "" where there is
	// none, and then the change stream tells nothing.
	VersionField string
	// Outbox is where events wait in documents; taking them out is no write of the entity.
	Outbox  plan.Outbox
	Service Service
	// Passive leaves the profiler's settings as they are, for a dry run.
	Passive bool
	Log     *slog.Logger
}

// Look looks once at the operations that the primary runs now.
func (g Gate) Look(ctx context.Context) (Evidence, error) {
	s := &watch{gate: &g, admin: source.Primary(g.DB.Client(), "admin"), clients: map[string]int{}}
	err := retry.Do(ctx, "look at the running operations", s.sample)
	return Evidence{Clients: s.seen, OpenTransaction: s.open}, err
}

// Watch looks for d, or for DefaultWatch if it is 0. It first restores what a process that
// died has left of the profiler's settings. What a member of the replica set does not
// answer is a gap in the evidence; the error is that of the primary.
func (g Gate) Watch(ctx context.Context, d time.Duration) (Evidence, error) {
	e := Evidence{From: time.Now().UTC(), Watched: cmp.Or(d, DefaultWatch)}
	if !g.Passive {
		if err := g.RestoreProfilers(ctx); err != nil {
			return e, err
		}
	}
	hello, err := mongoserver.AskHello(ctx, g.DB)
	if err != nil {
		return e, err
	}
	var all sync.WaitGroup
	servers := make([]*watch, len(hello.Members()))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for i, host := range hello.Members() {
		servers[i] = &watch{gate: &g, Server: Server{Host: host}, clients: map[string]int{}}
		all.Go(func() { servers[i].run(ctx, e.Watched) })
	}
	err = g.followChanges(ctx, &e)
	if err != nil {
		cancel()
	}
	all.Wait()
	for _, s := range servers {
		e.add(s)
	}
	return e, err
}

// pause is the time between two looks at a server, for a watch of a length: the profile is
// to have room for all that happens in between.
func pause(watch time.Duration) time.Duration {
	return min(max(watch/20, 50*time.Millisecond), time.Second)
}

// followChanges reads the collection's changes while the watch lasts.
func (g Gate) followChanges(ctx context.Context, e *Evidence) error {
	now, err := g.now(ctx)
	if err != nil {
		return err
	}
	of := mongostream.Collections{Names: []string{g.Collection}}
	from := mongostream.Source{Database: g.DB, Pipeline: mongo.Pipeline{of.Match()}}
	stream, err := from.Open(ctx, mongostream.Position{Start: now}, pause(e.Watched))
	if err != nil {
		return fmt.Errorf("watch %s: %w", g.Collection, err)
	}
	defer stream.Close(context.WithoutCancel(ctx))
	for time.Since(e.From) < e.Watched {
		c, err := stream.Next(ctx)
		if errors.Is(err, mongostream.ErrClosed) { // as it does when the database is dropped
			e.Replaced = err.Error()
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch %s: %w", g.Collection, err)
		}
		if c != nil {
			g.count(e, c)
		}
	}
	return nil
}

// replaces are the events after which the collection may be another.
var replaces = []string{"drop", "rename", "dropDatabase"}

func (g Gate) count(e *Evidence, c *mongostream.Change) {
	if slices.Contains(replaces, c.Operation) {
		e.Replaced = c.String()
	}
	if !c.IsOfDocument() || g.VersionField == "" || changes.OfOutbox(c, g.Outbox) || changes.SetsField(c, g.VersionField) {
		return
	}
	e.Writes++
	e.LastID = codec.Show(c.ID())
}

// now is the time right behind everything that was acknowledged.
func (g Gate) now(ctx context.Context) (bson.Timestamp, error) {
	var reply struct {
		OperationTime bson.Timestamp `bson:"operationTime"`
	}
	err := retry.Do(ctx, "read the cluster time of MongoDB", func(ctx context.Context) error {
		return g.DB.RunCommand(ctx, bson.D{{Key: "ping", Value: 1}}).Decode(&reply)
	})
	return bson.Timestamp{T: reply.OperationTime.T, I: reply.OperationTime.I + 1}, err
}

// namespaces is a condition that the namespaces of all names of the collection meet.
func (g *Gate) namespaces() bson.D {
	pattern := "^" + regexp.QuoteMeta(g.DB.Name()+".") + strings.TrimPrefix(g.Names.Pattern(), "^")
	return bson.D{{Key: "ns", Value: bson.Regex{Pattern: pattern}}}
}

// isOthers reports whether an operation is on the collection, by any of its names, and
// neither the service's nor the migration's.
func (g *Gate) isOthers(namespace, application, comment string) bool {
	name, ok := strings.CutPrefix(namespace, g.DB.Name()+".")
	kind, _ := g.Names.Parse(name)
	return ok && kind != names.Foreign && !strings.HasPrefix(application, ownApplications) && !slices.Contains(g.Service.AppNames, application) &&
		!slices.Contains(g.comments(), comment)
}

// comments are those of commands that are the service's, or the migration's.
func (g *Gate) comments() []string {
	return []string{ownership.Comment(string(g.Names)), mongoserver.Comment}
}
