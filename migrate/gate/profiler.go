package gate

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/source"
)

// profileLease is how long a gate may be silent about a profiler before others restore it.
const profileLease = 30 * time.Second

// settings of the profiler of one database on one server.
type settings struct {
	Level  int      `bson:"was"`
	Slow   int64    `bson:"slowms"`
	Filter bson.Raw `bson:"filter"`
}

// profiler records what others do on one server, in the collection system.profile of the
// database: 1 MB by default, which it shares with everybody who looks there, and which
// begins anew without a word. So the gate sends a command of its own before each look, and
// looks for it and for the one before it: where the present one is missing, nothing is
// recorded; where the last one is, what happened since may be overwritten.
type profiler struct {
	*watch
	db     *mongo.Database
	marker string
	note   *control.Profiler // nil where the settings are as they were: everything is recorded

	probes  int       // sent so far
	last    string    // the last one that was recorded
	probed  time.Time // when the last one was recorded, by the server's clock
	good    time.Time // until when nothing is missing
	renewed time.Time
	known   map[uint64]times // entries that were read, since shortly before probed, by their hashes
	seed    maphash.Seed
	ended   bool
}

// times is how often an entry was there, and its time.
type times struct {
	n  int
	at time.Time
}

// startProfiler has the profiler record what others do to the collection, besides what it
// records anyway; nil where that cannot be.
func (s *watch) startProfiler(ctx context.Context, db *mongo.Database, marker string) (*profiler, error) {
	p := &profiler{watch: s, db: db, marker: marker, good: time.Now(), renewed: time.Now(), known: map[uint64]times{}, seed: maphash.MakeSeed()}
	was, err := p.settings(ctx)
	if err == nil && was.Level != 2 && s.gate.Passive {
		err = unusableError("its settings stay as they are in a dry run")
	} else if err == nil && was.Level != 2 {
		err = p.change(ctx, was)
	}
	if err == nil {
		err = ask(ctx, p.read)
	}
	var unusable unusableError
	switch {
	case errors.As(err, &unusable) || mongoerr.IsPermanent(err):
		s.miss("the profiler is not used: %v", err)
		return nil, p.stop(context.WithoutCancel(ctx))
	case err != nil:
		return nil, errors.Join(err, p.stop(context.WithoutCancel(ctx)))
	}
	s.use(byProfiler)
	return p, nil
}

// unusableError says why a profiler that answers cannot be used.
type unusableError string

func (e unusableError) Error() string { return string(e) }

// Permanent reports that asking again does not help.
func (unusableError) Permanent() bool { return true }

func (p *profiler) settings(ctx context.Context) (was settings, err error) {
	err = ask(ctx, func(ctx context.Context) error {
		return p.db.RunCommand(ctx, bson.D{{Key: "profile", Value: -1}}).Decode(&was)
	})
	if err != nil {
		return was, fmt.Errorf("read its settings, which needs find on %s.system.profile, as dbAdmin has it: %w", p.db.Name(), err)
	}
	return was, nil
}

// markerPrefix is what the markers in the filters of gates begin with; the entity follows.
const markerPrefix = "banyan-gate "

// change notes what the settings were, and then adds the gate's filter to them.
func (p *profiler) change(ctx context.Context, was settings) error {
	if _, other, used := strings.Cut(was.Filter.String(), markerPrefix); used {
		entity, _, _ := strings.Cut(other, " ")
		return unusableError(fmt.Sprintf("that of the entity %s uses it, or was killed: then `banyan-migrate clients` with its plan restores it", entity))
	}
	n, err := p.gate.Control.Profiler(ctx, p.marker)
	if err != nil {
		return err
	}
	n.Host, n.Database, n.Level, n.Filter = p.Host, p.db.Name(), was.Level, was.Filter
	n.By, n.Until = worker.ThisProcess(), time.Now().Add(profileLease)
	if err := p.gate.Control.Save(ctx, n); err != nil {
		return err
	}
	p.note = n
	// The filter first: a server that ignores it must not get another level.
	for _, set := range []bson.D{{{Key: "profile", Value: was.Level}, {Key: "filter", Value: p.filter(was)}}, {{Key: "profile", Value: 1}}} {
		err = ask(ctx, func(ctx context.Context) error { return p.db.RunCommand(ctx, set).Err() })
		if err != nil {
			return fmt.Errorf("set its filter, which needs MongoDB 4.4.2 and enableProfiler on %s, as dbAdmin has it: %w", p.db.Name(), err)
		}
		if is, err := p.settings(ctx); err != nil {
			return err
		} else if !strings.Contains(is.Filter.String(), p.marker) {
			return unusableError("the server has no filter for it, as MongoDB has since 4.4.2")
		}
	}
	return nil
}

// filter lets pass what others do to the collection, the gate's own commands, and what
// passed before. Where a filter is set the server forgets about slowms, for the log of slow
// operations too, so it is part of it.
func (p *profiler) filter(was settings) bson.D {
	before := bson.D{{Key: "millis", Value: bson.D{{Key: "$gte", Value: was.Slow}}}}
	if was.Filter != nil {
		before = bson.D{{Key: "$and", Value: bson.A{was.Filter}}}
	}
	comments, names := bson.A{}, bson.A{}
	for _, c := range p.gate.comments() {
		comments = append(comments, c)
	}
	for _, name := range p.gate.Service.AppNames {
		names = append(names, name)
	}
	others := append(p.gate.namespaces(), bson.E{Key: "command.comment", Value: bson.D{{Key: "$nin", Value: comments}}},
		bson.E{Key: "appName", Value: bson.D{{Key: "$nin", Value: names}, {Key: "$not", Value: bson.Regex{Pattern: "^" + ownApplications}}}})
	own := bson.D{{Key: "command.comment", Value: bson.Regex{Pattern: "^" + p.marker}}}
	return bson.D{{Key: "$or", Value: bson.A{others, own, before}}}
}

// stop restores the settings.
func (p *profiler) stop(ctx context.Context) error {
	if p.note == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	err := ask(ctx, func(ctx context.Context) error { return p.gate.restore(ctx, p.db, p.note) })
	if err == nil {
		p.note = nil
	}
	return err
}

// restore restores what the settings were, unless somebody else has changed them since, or
// the server was started anew, which forgets them; then it removes the note.
func (g *Gate) restore(ctx context.Context, db *mongo.Database, n *control.Profiler) error {
	var now settings
	err := db.RunCommand(ctx, bson.D{{Key: "profile", Value: -1}}).Decode(&now)
	if err == nil && strings.Contains(now.Filter.String(), n.Marker) {
		var filter any = "unset"
		if len(n.Filter) > 0 {
			filter = bson.Raw(n.Filter)
		}
		err = db.RunCommand(ctx, bson.D{{Key: "profile", Value: n.Level}, {Key: "filter", Value: filter}}).Err()
	}
	if err == nil {
		err = g.Control.DeleteProfiler(ctx, n)
	}
	if err != nil {
		return fmt.Errorf("restore the profiler of %s to level %d: %w", n.Host, n.Level, err)
	}
	return nil
}

// RestoreProfilers restores the settings that processes which died have left changed. What
// a server does not answer is left to the next call, and logged.
func (g *Gate) RestoreProfilers(ctx context.Context) error {
	all, err := g.Control.Profilers(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		n := &all[i]
		if !worker.HasEnded(n.By) && time.Now().Before(n.Until.Add(profileLease)) {
			continue
		}
		if err := g.restoreOn(ctx, n); err != nil && ctx.Err() == nil {
			g.Log.Warn("restore what a process that died has left: failed", "error", err)
		}
	}
	return ctx.Err()
}

func (g *Gate) restoreOn(ctx context.Context, n *control.Profiler) error {
	ctx, cancel := context.WithTimeout(ctx, finishTimeout)
	defer cancel()
	client, err := g.Dial(ownApplications+" gate", n.Host)
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	return g.restore(ctx, client.Database(n.Database), n)
}

// entry is a document of system.profile.
type entry struct {
	At          time.Time `bson:"ts"`
	Op          string    `bson:"op"`
	Namespace   string    `bson:"ns"`
	Application string    `bson:"appName"`
	Client      string    `bson:"client"`
	User        string    `bson:"user"`
	Command     bson.Raw  `bson:"command"`
	Code        int       `bson:"errCode"`
}

// overlap is how far behind the last probe each look begins: entries are not written in the
// order of their times.
const overlap = time.Second

// read sends a probe, and reads what was recorded since shortly before the last one.
func (p *profiler) read(ctx context.Context) error {
	if p.ended {
		return nil
	}
	if err := p.renew(ctx); err != nil {
		return err
	}
	p.probes++
	present := fmt.Sprintf("%s %d", p.marker, p.probes)
	err := p.db.RunCommand(ctx, bson.D{{Key: "find", Value: source.Barriers}, {Key: "limit", Value: 1}, {Key: "singleBatch", Value: true},
		{Key: "comment", Value: present}}).Err()
	if err != nil {
		return fmt.Errorf("send a probe to the profiler: %w", err)
	}
	cursor, err := p.db.Collection("system.profile").Aggregate(ctx, mongo.Pipeline{{{Key: "$match",
		Value: bson.D{{Key: "ts", Value: bson.D{{Key: "$gte", Value: p.probed.Add(-overlap)}}}}}}})
	if err != nil {
		return fmt.Errorf("read what it recorded: %w", err)
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }()
	var fresh []entry
	counts := map[uint64]int{}
	found := map[string]time.Time{}
	for cursor.Next(ctx) {
		var e entry
		if err := bson.Unmarshal(cursor.Current, &e); err != nil {
			continue // of something else that records there
		}
		comment, _ := e.Command.Lookup("comment").StringValueOK()
		if strings.HasPrefix(comment, p.marker) {
			found[comment] = e.At
		} else if p.isFresh(cursor.Current, e.At, counts) && e.Client != "" && p.gate.isOthers(e.Namespace, e.Application, comment) {
			fresh = append(fresh, e)
		}
	}
	if err := cursor.Err(); err != nil {
		return fmt.Errorf("read what it recorded: %w", err)
	}
	return p.settle(ctx, fresh, found, present)
}

// settle counts what is new, and finds out whether anything is missing.
func (p *profiler) settle(ctx context.Context, fresh []entry, found map[string]time.Time, present string) error {
	at, recorded := found[present]
	_, kept := found[p.last]
	first, now := p.last == "", time.Now()
	if recorded {
		p.probed, p.last = at, present
	}
	for _, e := range fresh {
		if first && e.At.Before(at) { // somebody else's, or an earlier gate's
			continue
		}
		p.watch.note(e.Op, e.Command, e.Code, now.Add(min(0, e.At.Sub(p.probed))), control.Client{Application: e.Application, User: e.User,
			Address: e.Client, Namespace: e.Namespace, Evidence: byProfiler}, "")
	}
	switch {
	case recorded && (kept || first):
		p.good = now
		maps.DeleteFunc(p.known, func(_ uint64, t times) bool { return t.at.Before(p.probed.Add(-2 * overlap)) })
		return nil
	case recorded:
		p.gap(now, "more was recorded than the profiler's collection holds, so that some of it is lost; make it larger, or look for a shorter time")
		return nil
	}
	why := "the profiler did not record the gate's own command"
	if is, err := p.settings(ctx); err != nil {
		return err
	} else if p.note != nil && !strings.Contains(is.Filter.String(), p.marker) || is.Level == 0 {
		why = "somebody changed the settings of the profiler, or the server was started anew"
	}
	if first {
		return unusableError(why)
	}
	p.gap(now, why)
	p.ended = true
	return nil
}

func (p *profiler) gap(now time.Time, why string) {
	p.Gaps = append(p.Gaps, Gap{From: p.good.UTC(), To: now.UTC(), Why: why})
	p.good = now
}

// isFresh reports whether an entry was not there at the last look. counts are how often
// each was at this one: two operations may look alike.
func (p *profiler) isFresh(raw bson.Raw, at time.Time, counts map[uint64]int) bool {
	hash := maphash.Bytes(p.seed, raw)
	counts[hash]++
	if counts[hash] <= p.known[hash].n {
		return false
	}
	p.known[hash] = times{counts[hash], at}
	return true
}

// renew says that this process is still at it.
func (p *profiler) renew(ctx context.Context) error {
	if p.note == nil || time.Since(p.renewed) < profileLease/3 {
		return nil
	}
	p.note.Until = time.Now().Add(profileLease)
	if err := p.gate.Control.Save(ctx, p.note); err != nil {
		return err
	}
	p.renewed = time.Now()
	return nil
}
