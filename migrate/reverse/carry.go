package reverse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/dynamostream"
	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/internal/worker"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

var (
	// errLookAgain: the record of ownership has changed, or the collection has another name.
	errLookAgain = errors.New("the owner or the collection's name has changed meanwhile")
	// errAtEnd: the shard has come to its end.
	errAtEnd = errors.New("the shard is at its end")
)

// Bounds of one transaction.
const (
	maxBatchItems = 100
	maxBatchBytes = 4 << 20
)

// touchEvery is how often an idle shard's row is told that nothing is missing.
const touchEvery = time.Second

// lane carries one shard.
type lane struct {
	*session
	reader  *dynamostream.Reader
	row     *position
	txn     *mongo.Session
	failed  bool            // its last transaction, which may still be open
	misfits map[string]bool // keys of this entity's misfits that may be the shard's
	touched time.Time
}

// carryShard carries a shard to its end, or until another process overtakes. An error ends
// all of Follow; what may pass is looked at anew by the next assignment.
func (l *lane) carryShard(ctx context.Context) error {
	defer endSession(ctx, l.txn)
	var err error
	if l.misfits, err = l.misfitKeys(ctx); err == nil {
		for err == nil && l.active.Load() {
			err = l.carryPage(ctx)
		}
	}
	if !errors.Is(err, errAtEnd) && !errors.Is(err, errOvertaken) {
		l.release(ctx)
	}
	switch {
	case err == nil || errors.Is(err, errAtEnd) || errors.Is(err, errOvertaken):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, dynamostream.ErrTrimmed):
		return l.trimmed(ctx, l.row)
	case errors.Is(err, worker.ErrLeaseLost):
		return err
	}
	l.Log.Warn("carry a shard back: failed, retrying", "shard", l.row.ID.Shard, "error", err)
	return retry.Wait(ctx, 4)
}

// release leaves the shard to others, if it still is this process's. They end the session
// where it may still have a transaction.
func (l *lane) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	set := bson.D{{Key: "worker", Value: ""}}
	if !l.failed {
		set = append(set, bson.E{Key: "session", Value: bson.D{}})
	}
	_ = l.setRow(ctx, l.row, false, set) // otherwise the lease runs out
}

// carryPage reads and carries one page.
func (l *lane) carryPage(ctx context.Context) error {
	if err := l.reader.Wait(ctx); err != nil {
		return err
	}
	select {
	case l.pages <- struct{}{}:
		defer func() { <-l.pages }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	asked := time.Now().UTC()
	page, last, err := l.reader.Next(ctx)
	switch {
	case err != nil:
		return err
	case len(page.Records) > 0:
		if err := l.carryRecords(ctx, page.Records); err != nil {
			return err
		}
	case time.Since(l.touched) >= touchEvery && !last:
		if err := l.setRow(ctx, l.row, false, bson.D{{Key: "caughtUp", Value: asked}}); err != nil {
			return err
		}
		l.touched = time.Now()
	}
	if !last {
		return nil
	}
	l.forgetShards() // there are children
	return errors.Join(l.setRow(ctx, l.row, true, bson.D{{Key: "done", Value: true}, {Key: "caughtUp", Value: asked}, {Key: "worker", Value: ""},
		{Key: "session", Value: bson.D{}}}), errAtEnd)
}

// carryRecords carries the records of a page. What they mean is judged by the record of
// ownership of after they were read: so none of them can be of a later owner.
func (l *lane) carryRecords(ctx context.Context, records []types.Record) error {
	rec, err := l.Owners.Load(ctx, l.Plan.Entity)
	if err != nil {
		return err
	}
	if !Active(rec.Phase) {
		return errLookAgain
	}
	j := judge{rec, l.Plan.Codec()}
	b := newBatch()
	for _, raw := range records {
		r, err := dynamostream.Decode(raw)
		if err != nil {
			return err
		}
		c, err := j.judge(r)
		if err == nil && c.reread {
			err = l.reread(ctx, j, &c)
		}
		if err != nil {
			return err
		}
		if b.add(c); b.full() {
			if err := l.carryBatch(ctx, rec, b); err != nil {
				return err
			}
			b = newBatch()
		}
	}
	return l.carryBatch(ctx, rec, b)
}

// reread makes a change that of the item as it is now, unless the service has written it
// since: then a later record has it.
func (l *lane) reread(ctx context.Context, j judge, c *change) error {
	item, err := l.Tables.Item(ctx, c.keys)
	if err != nil || stamp.Of(item).Epoch >= j.rec.Epoch {
		return err
	}
	j.setDocument(c, item)
	return nil
}

// carryBatch carries a batch in one transaction, or each of its changes in one of its own
// where MongoDB refuses a document.
func (l *lane) carryBatch(ctx context.Context, rec ownership.Record, b *batch) error {
	if len(b.all) == 0 {
		return nil
	}
	err := l.commit(ctx, rec, b, nil)
	if !isRefusal(err) {
		return err
	}
	for _, c := range b.all {
		single := newBatch()
		single.add(c)
		if err := l.carrySingle(ctx, rec, single); err != nil {
			return err
		}
	}
	return nil
}

// maxConflicts bounds how many unique indexes one document meets.
const maxConflicts = 64

// carrySingle carries one change. It makes room for its unique values one index after the
// other, and sets the change aside where MongoDB refuses the document for another reason.
func (l *lane) carrySingle(ctx context.Context, rec ownership.Record, b *batch) error {
	var met []index
	for range maxConflicts {
		err := l.commit(ctx, rec, b, met)
		if !isRefusal(err) {
			return err
		}
		next, conflict, lookErr := l.conflictOf(ctx, rec.Collection, err)
		if lookErr != nil {
			return lookErr
		}
		if !conflict || hasIndex(met, next) {
			b.setAside(err)
			return l.commit(ctx, rec, b, nil)
		}
		met = append(met, next)
	}
	return fmt.Errorf("carry a document back: it conflicts with others under more than %d unique indexes", maxConflicts)
}

// isRefusal reports whether MongoDB refuses a document, and would again.
func isRefusal(err error) bool {
	if err == nil || isMoved(err) || errors.Is(err, errOvertaken) || mongoerr.HasCode(err, mongoerr.Unauthorized, mongoerr.AuthenticationFailed) {
		return false
	}
	return mongoerr.IsPermanent(err) || mongoerr.HasCode(err, mongoerr.DuplicateKey, 11001, 17280, 17282)
}

// isMoved reports whether the collection does not have the name any more.
func isMoved(err error) bool {
	return mongoerr.HasCode(err, mongoerr.CommandNotSupportedOnView, mongoerr.CollectionUUIDMismatch, mongoerr.NamespaceNotFound)
}

// batch is what one transaction carries: the last change of each item, in the order of the
// stream, and what of the records is counted or kept.
type batch struct {
	all   []change // as they were read
	last  map[string]int
	bytes int
}

func newBatch() *batch { return &batch{last: map[string]int{}} }

func (b *batch) add(c change) {
	if i, again := b.last[c.key]; again && c.write {
		before := b.all[i]
		c.anew = before.anew || before.doc == nil && before.misfit == nil
	}
	b.all = append(b.all, c)
	b.bytes += len(c.doc)
	if c.write {
		b.last[c.key] = len(b.all) - 1
	}
}

func (b *batch) full() bool {
	return len(b.last) >= maxBatchItems || b.bytes >= maxBatchBytes || len(b.all) >= dynamostream.MaxRecords
}

// writes are the changes that count, in order.
func (b *batch) writes() []*change {
	var all []*change
	for i := range b.all {
		if c := &b.all[i]; c.write && b.last[c.key] == i {
			all = append(all, c)
		}
	}
	return all
}

// barrier is one of the barriers of a batch, "" for none.
func (b *batch) barrier() string {
	for _, c := range b.all {
		if c.barrier != "" {
			return c.barrier
		}
	}
	return ""
}

// setAside makes a misfit of the only change of a batch.
func (b *batch) setAside(why error) { b.all[0].misfit = why }
