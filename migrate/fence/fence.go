package fence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/source"
)

// Fence moves the collection of one entity from name to name, so that MongoDB itself
// refuses the writes of everyone who knows only a former one. It is safe for concurrent
// use, by any number of processes.
type Fence struct {
	Owners *ownership.Table
	Entity string
	Names  names.Names
	DB     *mongo.Database // for reading; of the primary
	DDL    *Session
	// UUID is that of the entity's collection, 32 hexadecimal digits.
	UUID string
	// Conditional says that the server accepts collectionUUID (MongoDB 6.0 and later).
	Conditional bool
	// Budget is how long one process may hold writes.
	Budget time.Duration
	// Step, if set, is called as each step of an encapsulation begins.
	Step func(step string)
	Log  *slog.Logger
}

// Errors that callers can test with errors.Is.
var (
	// ErrNotFenced: the names are not as the fence left them.
	ErrNotFenced error = retry.Permanent("the fence does not stand")
	// ErrStray: somebody created a collection under a name that the fence had vacated.
	ErrStray error = retry.Permanent("writes of others created a collection under a vacated name; they are kept: look at them with " +
		"`banyan-migrate strays`")
)

// look lists what stands under the entity's names now.
func (f *Fence) look(ctx context.Context) (source.Layout, error) {
	return source.Look(ctx, f.DB, f.Names)
}

// Check reports what is wrong with the names while the collection is called
// rec.Collection, or on its way from there: each as a sentence. It changes nothing.
func (f *Fence) Check(ctx context.Context, rec ownership.Record) ([]string, error) {
	l, err := f.look(ctx)
	if err != nil {
		return nil, err
	}
	if rec.Move == nil {
		return f.problems(l, rec.Collection, rec.Generation, ""), nil
	}
	return f.problems(l, l.Locate(f.UUID), rec.Generation, rec.Move.To), nil
}

// problems are those of all names but next, which was not left yet.
func (f *Fence) problems(l source.Layout, current string, generations int64, next string) []string {
	var all []string
	switch at := l.Locate(f.UUID); {
	case at == "":
		return []string{source.ErrGone.Error()}
	case at != current:
		all = append(all, fmt.Sprintf("the collection is called %s, and should be called %s", at, current))
	}
	for _, name := range f.Names.Vacated(current, generations) {
		if p := l.Problem(name, current); p != "" && name != next {
			all = append(all, p+": `banyan-migrate cutover` puts that right first, and `banyan-migrate run` until the switch")
		}
	}
	for _, s := range l.Strays(f.UUID) {
		switch kind, g := f.Names.Parse(s.Name); {
		case kind != names.Stray:
		case g > generations:
			all = append(all, fmt.Sprintf("the collection %s has a name that the migration would give, and is not the migration's: rename or drop it",
				s.Name))
		default:
			all = append(all, fmt.Sprintf("the collection %s holds writes of others that were set aside: look at them with "+
				"`banyan-migrate strays`, apply what is missing through the service, then `banyan-migrate strays --discard %s`", s.Name, s.Name))
		}
	}
	return all
}

// raise moves the collection to rec.Move.To, from wherever it is, and has views occupy
// the other names. rec is the record in which the move was persisted; it is returned as
// last written. It goes on until ctx ends, since a command without an answer may have
// been carried out, or may be on its way.
func (f *Fence) raise(ctx context.Context, rec ownership.Record) (ownership.Record, error) {
	return f.arrange(ctx, rec, rec.Move.To)
}

// Mend has views occupy the names that the collection has left, where they do not: they
// were dropped or changed, or somebody created a collection there, which is set aside. It
// points those anew that lead there over many others: a move, while writes wait, then has
// none to point anew. It does nothing while the collection moves, or is not called what it
// should be.
func (f *Fence) Mend(ctx context.Context, rec ownership.Record) error {
	l, err := f.look(ctx)
	if err != nil || rec.Collection == "" || rec.Move != nil || l.Locate(f.UUID) != rec.Collection {
		return err
	}
	if f.astray(l, rec.Collection, rec.Generation) == "" && f.areNear(l, rec) {
		return nil
	}
	defer f.DDL.Close()
	ctx, cancel := context.WithTimeout(ctx, mendTimeout)
	defer cancel()
	_, err = f.arrange(ctx, rec, rec.Collection)
	return err
}

// nearDepth is how many views lead from a name to the collection once Mend has come by.
const nearDepth = source.MaxDepth / 2

func (f *Fence) areNear(l source.Layout, rec ownership.Record) bool {
	for _, name := range f.Names.Vacated(rec.Collection, rec.Generation) {
		if !l.Leads(name, rec.Collection, nearDepth) {
			return false
		}
	}
	return true
}

// mendTimeout bounds one mending; its commands wait for open transactions no longer.
const mendTimeout = 10 * time.Second

// astray is the first vacated name that no view leads from to the collection, as a
// sentence; "" for none.
func (f *Fence) astray(l source.Layout, current string, generations int64) string {
	for _, name := range f.Names.Vacated(current, generations) {
		if p := l.Problem(name, current); p != "" {
			return p
		}
	}
	return ""
}

// arrange has the collection called to, and views occupy all names that it left.
func (f *Fence) arrange(ctx context.Context, rec ownership.Record, to string) (ownership.Record, error) {
	for attempt := 0; ; attempt++ {
		l, err := f.lookInTurn(ctx, rec)
		done := false
		if err == nil {
			rec, done, err = f.step(ctx, rec, l, to)
		}
		if done {
			return rec, nil
		}
		if err := f.retryable(ctx, err, attempt); err != nil {
			return rec, fmt.Errorf("move %s to %s: %w", f.Names, to, err)
		}
	}
}

// lookInTurn looks what stands under the names, and fails with ownership.ErrConflict
// unless the record is still rec: then it is another process's turn. The connection for
// commands is open before, so that others can see a process that sleeps from here on.
func (f *Fence) lookInTurn(ctx context.Context, rec ownership.Record) (source.Layout, error) {
	if _, err := f.DDL.open(ctx); err != nil {
		return source.Layout{}, err
	}
	l, err := f.look(ctx)
	if err != nil {
		return l, err
	}
	now, err := f.Owners.Load(ctx, f.Entity)
	if err == nil && now.Revision != rec.Revision {
		f.DDL.Close() // the other process may wait for it
		err = fmt.Errorf("move %s: %w", f.Names, ownership.ErrConflict)
	}
	return l, err
}

// step sends the next command, after which the layout is looked at again.
func (f *Fence) step(ctx context.Context, rec ownership.Record, l source.Layout, to string) (ownership.Record, bool, error) {
	switch at := l.Locate(f.UUID); at {
	case "":
		return rec, false, source.ErrGone
	case to:
	default:
		if _, taken := l.At(to); taken {
			return rec, false, errTaken
		}
		if err := f.DDL.rename(ctx, at, to, f.condition(f.UUID)); err != nil {
			return rec, false, err
		}
		// Nobody looks before the view is there: the name is vacant.
		return rec, false, f.occupy(ctx, l, at, to)
	}
	depth := source.MaxDepth
	if rec.Move == nil { // nobody waits
		depth = nearDepth
	}
	for _, name := range f.Names.Vacated(to, rec.Generation) {
		switch e, there := l.At(name); {
		case there && !e.View:
			rec, err := f.setAside(ctx, rec, e)
			if err == nil {
				err = f.occupy(ctx, l, name, to) // at once: the name is vacant
			}
			return rec, false, err
		case !there || !l.Leads(name, to, depth):
			return rec, false, f.occupy(ctx, l, name, to)
		}
	}
	return rec, true, nil
}

// errTaken: the next name is not free. It is given up: whatever stands there may be moved
// by somebody just now.
var errTaken error = retry.Permanent("the next name of the collection is taken by something else, which somebody created just now: look " +
	"at it, remove it or discard it (`banyan-migrate strays`), and run the command again")

// settle makes sure that the collection has a name for good, with views under others: it
// looks, and then writes a barrier that a majority has to have. Where the primary is the
// same before the look and after the barrier, no fail-over takes back what was seen. It
// fails with ErrNotFenced where one has done so before, or where wrong says what is wrong.
func (f *Fence) settle(ctx context.Context, name string, wrong func(source.Layout) string) error {
	for attempt := 0; ; attempt++ {
		before, err := f.election(ctx)
		if err != nil {
			return err
		}
		l, err := f.look(ctx)
		if err != nil {
			return err
		}
		switch at := l.Locate(f.UUID); at {
		case "":
			return source.ErrGone
		case name:
		default:
			return fmt.Errorf("%w: %s is called %s, not %s", ErrNotFenced, f.Names, at, name)
		}
		if problem := wrong(l); problem != "" {
			return fmt.Errorf("%w: %s", ErrNotFenced, problem)
		}
		if err := f.writeBarrier(ctx); err != nil {
			return err
		}
		if after, err := f.election(ctx); err != nil || after == before {
			return err
		}
		if err := retry.Wait(ctx, min(attempt, 3)); err != nil {
			return err
		}
	}
}

// writeBarrier returns when a majority has everything that this primary did before.
func (f *Fence) writeBarrier(ctx context.Context) error {
	id := bson.D{{Key: "_id", Value: "fence " + uuid.NewString()}}
	err := retry.Do(ctx, "write a barrier behind the fence", func(ctx context.Context) error {
		_, err := f.DB.Collection(source.Barriers).InsertOne(ctx, id)
		return err
	})
	if err != nil && !mongo.IsDuplicateKeyError(err) {
		return err
	}
	_, _ = f.DB.Collection(source.Barriers).DeleteOne(ctx, id) // one left behind does no harm
	return nil
}

// election identifies the primary's term, "" on a server that has none.
func (f *Fence) election(ctx context.Context) (term string, err error) {
	err = retry.Do(ctx, "ask for the primary", func(ctx context.Context) error {
		reply, err := f.DB.RunCommand(ctx, bson.D{{Key: "hello", Value: 1}}).Raw()
		term = reply.Lookup("electionId").String()
		return err
	})
	return term, err
}

// occupy makes a view lead from a vacated name to the collection.
func (f *Fence) occupy(ctx context.Context, l source.Layout, name, to string) error {
	if e, there := l.At(name); there && e.View {
		return f.DDL.pointView(ctx, name, to)
	}
	return f.DDL.createView(ctx, name, to, l.Collation(f.UUID))
}

// setAside renames a stray to a name of its own, persisted before.
func (f *Fence) setAside(ctx context.Context, rec ownership.Record, stray source.Entry) (ownership.Record, error) {
	next, err := f.Owners.Update(ctx, rec, func(r *ownership.Record) { r.Generation++ })
	if err != nil {
		return rec, err
	}
	f.Log.Error("writes of others created a collection under a vacated name; it is set aside", "name", stray.Name,
		"kept", f.Names.Stray(next.Generation))
	return next, f.DDL.rename(ctx, stray.Name, f.Names.Stray(next.Generation), f.condition(stray.UUID))
}

func (f *Fence) condition(uuid string) string {
	if !f.Conditional {
		return ""
	}
	return uuid
}

// retryable returns nil where another look may help: the server's answers that another
// process, or an earlier command of this one, explains, and no answer at all.
func (f *Fence) retryable(ctx context.Context, err error, attempt int) error {
	switch {
	case err == nil || mongoerr.HasCode(err, mongoerr.NamespaceNotFound, mongoerr.NamespaceExists,
		mongoerr.CommandNotSupportedOnView, mongoerr.CollectionUUIDMismatch):
		return ctx.Err()
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case errors.Is(err, ownership.ErrConflict) || retry.IsPermanent(err):
		return err
	}
	f.Log.Warn("move the collection: failed, looking again", "error", err)
	return retry.Wait(ctx, min(attempt, 3))
}

// Confirm fails with ErrNotFenced unless the collection is called name and all vacated
// names are views that lead to it, and with ErrStray where a stray stands.
func (f *Fence) Confirm(ctx context.Context, name string, generations int64) error {
	l, err := f.look(ctx)
	if err != nil {
		return err
	}
	if at := l.Locate(f.UUID); at == "" {
		return source.ErrGone
	}
	if strays := l.Strays(f.UUID); len(strays) > 0 {
		return fmt.Errorf("%w (%s)", ErrStray, strays[0].Name)
	}
	if all := f.problems(l, name, generations, ""); len(all) > 0 {
		return fmt.Errorf("%w: %s", ErrNotFenced, all[0])
	}
	return nil
}
