package migrate

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/sync/errgroup"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Verification is what one verification covered, as of when, and what it found.
type Verification struct {
	Row
	ID         string    `dynamodbav:"id" json:"id"`
	StartedAt  time.Time `dynamodbav:"startedAt" json:"startedAt"`
	FinishedAt time.Time `dynamodbav:"finishedAt" json:"finishedAt"`
	// AsOf is the source's cluster time: what has not changed since was compared.
	AsOf       clock  `dynamodbav:"asOf" json:"asOf"`
	Token      []byte `dynamodbav:"token" json:"-"` // of the change stream, at AsOf
	Generation int64  `dynamodbav:"generation" json:"generation"`
	Covered    string `dynamodbav:"covered" json:"covered"` // "whole"
	Documents  int64  `dynamodbav:"documents" json:"documents"`
	Items      int64  `dynamodbav:"items" json:"items"`
	Tombstones int64  `dynamodbav:"tombstones" json:"tombstones"`
	Unique     int64  `dynamodbav:"unique" json:"uniqueEntries"`
	Rechecked  int64  `dynamodbav:"rechecked" json:"rechecked"` // differed at first, being on the way
	Mismatches int64  `dynamodbav:"mismatches" json:"mismatches"`
	Repaired   int64  `dynamodbav:"repaired" json:"repaired"`
}

const verificationPrefix = "verification#"

// keptVerifications is how many verifications are kept in the control table.
const keptVerifications = 10

// VerifyOptions are what Verify can be asked for besides comparing.
type VerifyOptions struct {
	// Repair brings what differs to the target again, from the source.
	Repair bool
	// Report is called for every mismatch, one at a time.
	Report func(Mismatch)
}

// ErrNotCopied is returned for verbs that need a complete copy.
var ErrNotCopied = errors.New("the copy is not complete; let `banyan-migrate run` go on until the phase is shadowing")

// Verify compares the whole of both stores, each way, and the unique tables each
// way. What differs is looked at again after the changes have passed a marker,
// so that what is merely on its way does not count. The result is stored, and
// counts for a cut-over until it expires.
func (e *Engine) Verify(ctx context.Context, opts VerifyOptions) (Verification, error) {
	rec, err := e.record(ctx)
	if err != nil {
		return Verification{}, err
	}
	j := &job{}
	if _, err := e.state.load(ctx, jobKey, j); err != nil {
		return Verification{}, err
	}
	if rec.Phase != ownership.Shadowing || !j.Copied {
		return Verification{}, fmt.Errorf("verify %s in phase %s: %w", e.Plan.Entity, rec.Phase, ErrNotCopied)
	}
	v := &verifier{opts: opts, epoch: rec.Epoch, suspects: make(chan Mismatch, 1000)}
	v.result.Generation = j.Generation
	err = e.following(ctx, func(ctx context.Context, e *Engine) error {
		v.e = e
		return v.run(ctx)
	})
	return v.result, err
}

// following runs fn while the changes are followed: by this process, if no
// other does.
func (e *Engine) following(ctx context.Context, fn func(context.Context, *Engine) error) error {
	sub, err := New(e.Config)
	if err != nil {
		return err
	}
	p, lost, stop, err := sub.beat(ctx)
	if err != nil {
		return err
	}
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return sub.follow(ctx, p, sub.watchWorkers()) })
	g.Go(func() error {
		select {
		case <-lost:
			return errPulse
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	g.Go(func() error {
		if err := fn(ctx, sub); err != nil {
			return err
		}
		return errDone
	})
	if err := g.Wait(); !errors.Is(err, errDone) {
		return err
	}
	return nil
}

type verifier struct {
	e        *Engine
	opts     VerifyOptions
	epoch    int64
	suspects chan Mismatch
	result   Verification

	documents, items, tombstones, unique atomic.Int64
}

// verifyWorkers is how many readers each of the passes has.
const verifyWorkers = 4

func (v *verifier) run(ctx context.Context) error {
	v.result.ID, v.result.StartedAt, v.result.Covered = newestLast(), time.Now().UTC(), "whole"
	from, err := v.e.awaitMarker(ctx, v.epoch, 20*time.Millisecond)
	if err != nil {
		return err
	}
	v.result.AsOf, v.result.Token = from.Applied, from.Token
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return v.judge(ctx) })
	g.Go(func() error {
		defer close(v.suspects)
		passes, ctx := errgroup.WithContext(ctx)
		passes.Go(func() error { return v.forward(ctx) })
		passes.Go(func() error { return v.backward(ctx) })
		for i := range v.e.Plan.Unique {
			passes.Go(func() error { return v.leftovers(ctx, i) })
		}
		return passes.Wait()
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return v.keep(context.WithoutCancel(ctx))
}

// newestLast is an id whose text order is time order.
func newestLast() string {
	if id, err := uuid.NewV7(); err == nil {
		return id.String()
	}
	return fmt.Sprintf("%016x", time.Now().UnixNano())
}

// keep stores the result and forgets the oldest ones.
func (v *verifier) keep(ctx context.Context) error {
	if err := v.e.crash("verification"); err != nil {
		return err
	}
	r := &v.result
	r.Documents, r.Items, r.Tombstones, r.Unique = v.documents.Load(), v.items.Load(), v.tombstones.Load(), v.unique.Load()
	r.FinishedAt = time.Now().UTC()
	r.Row = Row{PK: v.e.state.pk, SK: verificationPrefix + r.ID}
	if err := v.e.state.save(ctx, r); err != nil {
		return err
	}
	all, err := list[Verification](ctx, v.e.state, verificationPrefix)
	if err != nil {
		return err
	}
	for i := range max(0, len(all)-keptVerifications) {
		if err := v.e.state.remove(ctx, all[i].SK); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) forgetVerifications(ctx context.Context) error {
	all, err := list[Verification](ctx, e.state, verificationPrefix)
	if err != nil {
		return err
	}
	for _, v := range all {
		if err := e.state.remove(ctx, v.SK); err != nil {
			return err
		}
	}
	return nil
}

// lastVerification is the newest one, nil if there is none.
func (e *Engine) lastVerification(ctx context.Context) (*Verification, error) {
	all, err := list[Verification](ctx, e.state, verificationPrefix)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[len(all)-1], nil
}

func (v *verifier) suspect(ctx context.Context, found []Mismatch) error {
	for _, m := range found {
		select {
		case v.suspects <- m:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

type idRange struct{ from, to bson.RawValue }

// forward compares every document with its item and its unique entries.
func (v *verifier) forward(ctx context.Context) error {
	n, err := v.e.source.estimate(ctx)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ranges := make(chan idRange)
	g.Go(func() error {
		defer close(ranges)
		_, err := v.e.bounds(ctx, v.e.rangeSize(n), func(_ int, from, to bson.RawValue) error {
			select {
			case ranges <- idRange{from, to}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return err
	})
	for range verifyWorkers {
		g.Go(func() error {
			for r := range ranges {
				if err := v.forwardRange(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (v *verifier) forwardRange(ctx context.Context, r idRange) error {
	for after := r.from; ; {
		c, err := v.e.source.read(ctx, after, r.to, v.e.ChunkSize)
		if err != nil || len(c.docs) == 0 {
			return err
		}
		ids, docs := make([]bson.RawValue, 0, len(c.docs)), make(map[string]bson.Raw, len(c.docs))
		for _, doc := range c.docs {
			id := doc.Lookup("_id")
			ids, docs[idText(id)] = append(ids, id), doc
		}
		found, err := v.e.target.compare(ctx, ids, docs)
		if err != nil {
			return err
		}
		v.documents.Add(int64(len(ids)))
		if err := v.suspect(ctx, found); err != nil {
			return err
		}
		after = ids[len(ids)-1]
	}
}

// backward looks for items whose document is not in the source.
func (v *verifier) backward(ctx context.Context) error {
	key := v.e.codec.KeyAttribute()
	in := &dynamodb.ScanInput{TableName: &v.e.Plan.Target.Table, ConsistentRead: aws.Bool(true),
		ProjectionExpression:     aws.String("#key, #b.#t, #b.#d"),
		ExpressionAttributeNames: map[string]string{"#key": key, "#b": codec.Reserved, "#t": stampTime, "#d": stampDead}}
	return v.scan(ctx, in, func(ctx context.Context, items []codec.Item) error {
		var ids []bson.RawValue
		for _, item := range items {
			if stampsOf(item).dead {
				v.tombstones.Add(1)
				continue
			}
			v.items.Add(1)
			id, err := v.e.codec.ID(item)
			if err != nil {
				return fmt.Errorf("verify the table %s: %w", v.e.Plan.Target.Table, err)
			}
			ids = append(ids, id)
		}
		return v.backwardPage(ctx, ids)
	})
}

func (v *verifier) backwardPage(ctx context.Context, ids []bson.RawValue) error {
	for len(ids) > 0 {
		n := min(len(ids), 500)
		there, err := v.e.source.present(ctx, ids[:n])
		if err != nil {
			return err
		}
		for _, id := range ids[:n] {
			if !there[idText(id)] {
				if err := v.suspect(ctx, []Mismatch{{ID: codec.Show(id), Kind: MismatchExtra, id: id}}); err != nil {
					return err
				}
			}
		}
		ids = ids[n:]
	}
	return nil
}

// leftovers looks for unique entries that no item stands behind.
func (v *verifier) leftovers(ctx context.Context, constraint int) error {
	in := &dynamodb.ScanInput{TableName: &v.e.Plan.Unique[constraint].Table, ConsistentRead: aws.Bool(true)}
	return v.scan(ctx, in, func(ctx context.Context, entries []codec.Item) error {
		v.unique.Add(int64(len(entries)))
		for len(entries) > 0 {
			n := min(len(entries), 100)
			found, err := v.e.target.checkLeftovers(ctx, constraint, entries[:n])
			if err != nil {
				return err
			}
			if err := v.suspect(ctx, found); err != nil {
				return err
			}
			entries = entries[n:]
		}
		return nil
	})
}

// scan reads a table in parallel segments, a page at a time.
func (v *verifier) scan(ctx context.Context, in *dynamodb.ScanInput, page func(context.Context, []codec.Item) error) error {
	g, ctx := errgroup.WithContext(ctx)
	for segment := range verifyWorkers {
		g.Go(func() error {
			in := *in
			in.Segment, in.TotalSegments, in.Limit = aws.Int32(int32(segment)), aws.Int32(verifyWorkers), aws.Int32(1000)
			for {
				var out *dynamodb.ScanOutput
				err := retry(ctx, "scan "+*in.TableName, func(ctx context.Context) (err error) {
					out, err = v.e.DynamoDB.Scan(ctx, &in)
					return err
				})
				if err != nil {
					return err
				}
				if err := page(ctx, out.Items); err != nil {
					return err
				}
				if in.ExclusiveStartKey = out.LastEvaluatedKey; in.ExclusiveStartKey == nil {
					return nil
				}
			}
		})
	}
	return g.Wait()
}

// judge looks again at what differed, a batch at a time.
func (v *verifier) judge(ctx context.Context) error {
	for {
		batch, more := v.collect(ctx)
		if len(batch) > 0 {
			if err := v.judgeBatch(ctx, batch); err != nil {
				return err
			}
		}
		if !more {
			return ctx.Err()
		}
	}
}

// collect gathers suspects for a moment, at most 200.
func (v *verifier) collect(ctx context.Context) (batch []Mismatch, more bool) {
	var timer <-chan time.Time
	for len(batch) < 200 {
		select {
		case m, ok := <-v.suspects:
			if !ok {
				return batch, false
			}
			if batch = append(batch, m); timer == nil {
				timer = time.After(100 * time.Millisecond)
			}
		case <-timer:
			return batch, true
		case <-ctx.Done():
			return nil, false
		}
	}
	return batch, true
}

func (v *verifier) judgeBatch(ctx context.Context, batch []Mismatch) error {
	v.result.Rechecked += int64(len(batch))
	still, err := v.e.recheck(ctx, batch, v.epoch)
	if err != nil {
		return err
	}
	if v.opts.Repair && len(still) > 0 {
		if still, err = v.repair(ctx, still); err != nil {
			return err
		}
	}
	for _, m := range still {
		if m.Repaired {
			v.result.Repaired++
		} else {
			v.result.Mismatches++
		}
		if v.opts.Report != nil {
			v.opts.Report(m)
		}
	}
	return nil
}

// recheckRounds is how often something that keeps changing is looked at again.
const recheckRounds = 10

// recheck looks at suspects until each is clearly right or wrong: after the
// changes passed a marker, on both sides, and again where the source moved
// meanwhile. (migration tools that compare once report what is on its way.)
func (e *Engine) recheck(ctx context.Context, suspects []Mismatch, epoch int64) ([]Mismatch, error) {
	ids, entries := suspectIDs(suspects), leftoverEntries(suspects)
	var wrong []Mismatch
	for round := range recheckRounds {
		if _, err := e.awaitMarker(ctx, epoch, 10*time.Millisecond); err != nil {
			return nil, err
		}
		bad, unstable, err := e.checkNow(ctx, ids, epoch)
		if err != nil {
			return nil, err
		}
		left, err := e.recheckLeftovers(ctx, entries)
		if err != nil {
			return nil, err
		}
		// A difference counts when it is still there after a second marker.
		if wrong = append(bad, left...); round > 0 && len(unstable) == 0 || len(wrong)+len(unstable) == 0 {
			return wrong, nil
		}
		ids, entries = append(suspectIDs(bad), unstable...), leftoverEntries(left)
	}
	for _, id := range ids {
		wrong = append(wrong, Mismatch{ID: codec.Show(id), Kind: MismatchDifferent, Detail: "changed too fast to be compared; verify again", id: id})
	}
	return wrong, nil
}

func leftoverEntries(found []Mismatch) [][]string {
	var entries [][]string
	for _, m := range found {
		if m.Kind == MismatchLeftover {
			for len(entries) <= m.table {
				entries = append(entries, nil)
			}
			entries[m.table] = append(entries[m.table], m.value)
		}
	}
	return entries
}

func (e *Engine) recheckLeftovers(ctx context.Context, values [][]string) ([]Mismatch, error) {
	var all []Mismatch
	for i, list := range values {
		for len(list) > 0 {
			n := min(len(list), 100)
			ask := make([][]string, len(e.Plan.Unique))
			ask[i] = distinct(list[:n])
			_, held, err := e.target.get(ctx, nil, ask)
			if err != nil {
				return nil, err
			}
			var entries []codec.Item
			for _, entry := range held[i] {
				entries = append(entries, entry)
			}
			found, err := e.target.checkLeftovers(ctx, i, entries)
			if err != nil {
				return nil, err
			}
			all, list = append(all, found...), list[n:]
		}
	}
	return all, nil
}

func distinct(values []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, v := range values {
		if !seen[v] {
			seen[v] = true
			out = append(out, v)
		}
	}
	return out
}

// repair applies the source's truth again and looks once more. It is stamped
// with a source time from before the source was read, so changes that are on
// their way still apply after it.
func (v *verifier) repair(ctx context.Context, wrong []Mismatch) ([]Mismatch, error) {
	ids := suspectIDs(wrong)
	at, err := v.e.sourceTime(ctx)
	if err != nil {
		return nil, err
	}
	docs, err := v.e.source.current(ctx, ids, v.epoch)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		ent, problem := v.e.target.expected(id, docs[idText(id)])
		if problem != nil {
			continue // it stays a mismatch, and says why
		}
		if _, err := v.e.target.apply(ctx, ent, at, anyItem); err != nil {
			return nil, fmt.Errorf("repair: %w", err)
		}
	}
	for _, m := range wrong {
		if m.Kind == MismatchLeftover {
			if err := v.e.target.dropLeftover(ctx, m.table, m.value); err != nil {
				return nil, fmt.Errorf("repair: %w", err)
			}
		}
	}
	return v.markRepaired(ctx, wrong)
}

func (v *verifier) markRepaired(ctx context.Context, wrong []Mismatch) ([]Mismatch, error) {
	still, err := v.e.recheck(ctx, wrong, v.epoch)
	if err != nil {
		return nil, err
	}
	bad := map[string]bool{}
	for _, m := range still {
		bad[idText(m.id)+m.value] = true
	}
	for i := range wrong {
		wrong[i].Repaired = !bad[idText(wrong[i].id)+wrong[i].value]
	}
	return wrong, nil
}

// dropLeftover removes a unique entry, provided it is still the one that was
// seen and no service has taken it.
func (t *target) dropLeftover(ctx context.Context, constraint int, value string) error {
	ask := make([][]string, len(t.plan.Unique))
	ask[constraint] = []string{value}
	_, held, err := t.get(ctx, nil, ask)
	if err != nil {
		return err
	}
	entry := held[constraint][value]
	if entry == nil {
		return nil
	}
	again, err := t.checkLeftovers(ctx, constraint, []codec.Item{entry})
	if err != nil || len(again) == 0 {
		return err
	}
	err = retry(ctx, "remove a unique entry", func(ctx context.Context) error {
		_, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: &t.plan.Unique[constraint].Table, Key: uniqueKey(value),
			ConditionExpression:       aws.String("#owner = :owner AND attribute_not_exists(#b.#e)"),
			ExpressionAttributeNames:  map[string]string{"#owner": "owner", "#b": codec.Reserved, "#e": stampEpoch},
			ExpressionAttributeValues: map[string]types.AttributeValue{":owner": entry["owner"]}})
		return err
	})
	if conditionFailed(err) {
		return nil
	}
	return err
}
