package outbox

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// How many documents are looked at together, how many entries are held to be put
// in order, and how large either may be in all before no further one is read.
const (
	sweepPage  = 200
	sweepHeld  = 10_000
	sweepBytes = 16 << 20
)

// Ensure creates the index by which the sweep finds documents with waiting
// events, in each collection that has such. It holds only documents that have
// some. It creates collections that are missing: one that is younger than the relay's
// start has no snapshot of that time to sweep. Run calls Ensure as well.
func (r *Relay) Ensure(ctx context.Context) error {
	keys, name, there := r.cfg.Field.WaitingIndex()
	index := mongo.IndexModel{Keys: keys, Options: options.Index().SetName(name).SetPartialFilterExpression(there)}
	for _, name := range r.cfg.Documents {
		if _, err := r.collection(name).Indexes().CreateOne(ctx, index); err != nil {
			return fmt.Errorf("publishers/outbox: create the index of waiting events of %s: %w", name, err)
		}
	}
	for _, name := range r.cfg.Outboxes {
		if err := r.cfg.Database.CreateCollection(ctx, name); err != nil && !mongoerr.HasCode(err, mongoerr.NamespaceExists) {
			return fmt.Errorf("publishers/outbox: create %s: %w", name, err)
		}
	}
	return nil
}

// WaitingIndex is the index that finds documents with events that wait: its keys, its name,
// and the documents that it holds, which is the condition to find them by, too.
func (f Field) WaitingIndex() (keys bson.D, name string, documents bson.D) {
	path := string(f) + ".id"
	return bson.D{{Key: path, Value: 1}}, string(f) + "_waiting", bson.D{{Key: path, Value: bson.D{{Key: "$exists", Value: true}}}}
}

// sweep publishes waiting events that the change stream has passed: it
// runs between two changes, and what was there at a time up to which all changes
// were handled, is still there and is not in flight, was missed. That time is the
// database's own, so no clock decides, and nothing overtakes an event that the
// stream has not shown yet.
//
// When the stream is further behind than the server's snapshots reach, that cannot
// be known: this sweep does nothing, and the next one tries again. Only the first one
// cannot wait, since it looks for what is older than the stream: there the relay begins
// at a newer position.
func (r *Relay) sweep(ctx context.Context) error {
	first := r.follower.Status().Position.IsZero()
	at, err := r.handledUpTo(ctx)
	if err != nil || at == (bson.Timestamp{}) {
		return transient(err)
	}
	places, err := r.locate(ctx)
	if err != nil {
		return transient(err)
	}
	s := &sweeping{r: r, at: at, places: places}
	for _, name := range r.names() {
		if err = s.sweepCollection(ctx, name); err != nil {
			err = fmt.Errorf("sweep %s: %w", name, err)
			break
		}
	}
	if err == nil {
		err = s.publish(ctx)
	}
	switch {
	case err == nil:
		r.counts.sweeps.Add(1)
	case tooLongAgo(err) && first:
		return fmt.Errorf("%w: %w", mongostream.ErrHistoryLost, err)
	case tooLongAgo(err):
		r.counts.postponed.Add(1)
		return nil
	}
	return transient(err)
}

// handledUpTo is a time up to which all changes were handled, zero if none is known.
func (r *Relay) handledUpTo(ctx context.Context) (bson.Timestamp, error) {
	at := r.follower.Status().Position
	if at != (bson.Timestamp{}) {
		return previousTime(at), nil // of a transaction's changes, some may be left
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	var position struct{ Start bson.Timestamp }
	err := r.cfg.Checkpoints.FindOne(ctx, bson.D{{Key: "_id", Value: r.cfg.Name}}).Decode(&position)
	return previousTime(position.Start), err
}

func previousTime(t bson.Timestamp) bson.Timestamp {
	switch {
	case t.I > 0:
		t.I--
	case t.T > 0:
		t.T, t.I = t.T-1, ^uint32(0)
	}
	return t
}

// sweeping is one sweep.
type sweeping struct {
	r      *Relay
	at     bson.Timestamp
	places map[string]string // where the collections are read
	held   []missed
	size   int
}

// missed is one entry that the change stream has passed.
type missed struct {
	origin *origin
	raw    bson.RawValue
	when   string // it was made, by the clock of its writer
}

// sweepCollection reads the entries that wait now, and checks for each page which of them waited
// then.
func (s *sweeping) sweepCollection(ctx context.Context, name string) error {
	cursor, err := s.r.findWaiting(ctx, name)
	if err != nil {
		return err
	}
	defer func() { _ = cursor.Close(context.WithoutCancel(ctx)) }() // the server closes an idle cursor by itself
	var page []bson.Raw
	size := 0
	for nextDocument(ctx, cursor) {
		if doc := cursor.Current; s.r.hasUnknown(name, doc) {
			page, size = append(page, bytes.Clone(doc)), size+len(doc)
		}
		if len(page) == sweepPage || size > sweepBytes {
			if err := s.collectPage(ctx, name, page); err != nil {
				return err
			}
			page, size = page[:0], 0
		}
	}
	if err := cursor.Err(); err != nil || len(page) == 0 {
		return err
	}
	return s.collectPage(ctx, name, page)
}

func nextDocument(ctx context.Context, cursor *mongo.Cursor) bool {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	return cursor.Next(ctx)
}

// collectPage collects the entries that wait in each document now and did so then.
func (s *sweeping) collectPage(ctx context.Context, name string, page []bson.Raw) error {
	then, err := s.r.readAsOf(ctx, name, s.at, page)
	if err != nil {
		return err
	}
	for _, doc := range page {
		s.collect(name, doc, then[idText(doc)])
	}
	if len(s.held) < sweepHeld && s.size < sweepBytes {
		return nil
	}
	return s.publish(ctx)
}

// collect adds the entries of a document to the held ones. None counts as earlier than the one before
// it in the array.
func (s *sweeping) collect(name string, now, then bson.Raw) {
	had := make(map[string]bool)
	for _, raw := range s.r.entriesOf(name, then) {
		had[valueText(raw)] = true
	}
	when := ""
	for i, raw := range s.r.entriesOf(name, now) {
		if !had[valueText(raw)] {
			continue
		}
		o := s.r.originOf(name, now, s.at)
		o.number = i
		e, _ := parseEntry(raw, o) // publish refuses what is not an event
		when = max(when, e.when)
		s.held, s.size = append(s.held, missed{o, raw, when}), s.size+len(raw.Value)
	}
}

// publish publishes the held entries, in the order in which they were made as far as the
// clocks of their writers show, and waits until that is done. The order of
// each document stays in any case.
func (s *sweeping) publish(ctx context.Context) error {
	switch places, err := s.r.locate(ctx); {
	case err != nil:
		return err
	case !maps.Equal(places, s.places): // under a name that it had left, nothing was found
		return fmt.Errorf("%w: a collection was renamed during the sweep", errTransient)
	}
	slices.SortStableFunc(s.held, func(a, b missed) int { return cmp.Compare(a.when, b.when) })
	batches := make([]*batch, 0, len(s.held))
	run := &sweepRun{}
	for _, m := range s.held {
		b, err := s.r.publish(ctx, m.origin, []bson.RawValue{m.raw}, run)
		if err != nil {
			return err
		}
		batches = append(batches, b)
		s.r.counts.swept.Add(b.countNew())
	}
	s.held, s.size = nil, 0
	for _, b := range batches {
		if err := b.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (r *Relay) findWaiting(ctx context.Context, name string) (*mongo.Cursor, error) {
	if r.isOutbox(name) {
		return r.collection(name).Find(ctx, bson.D{}, options.Find().SetSort(bson.D{{Key: "_id", Value: 1}}).SetBatchSize(sweepPage))
	}
	_, _, there := r.cfg.Field.WaitingIndex()
	return r.collection(name).Find(ctx, there, options.Find().SetProjection(r.projection()).SetBatchSize(sweepPage))
}

// projection selects the fields of a document that the relay reads.
func (r *Relay) projection() bson.D {
	return bson.D{{Key: string(r.cfg.Field), Value: 1}, {Key: r.cfg.Correlation, Value: 1}}
}

// entriesOf returns the entries in a document of a collection.
func (r *Relay) entriesOf(name string, doc bson.Raw) []bson.RawValue {
	if r.isOutbox(name) {
		return []bson.RawValue{{Type: bson.TypeEmbeddedDocument, Value: doc}}
	}
	return elements(doc.Lookup(string(r.cfg.Field)))
}

// hasUnknown reports whether a document has entries that are not in flight.
func (r *Relay) hasUnknown(name string, doc bson.Raw) bool {
	o := r.origin(name, doc)
	return slices.ContainsFunc(r.entriesOf(name, doc), func(raw bson.RawValue) bool {
		e, err := parseEntry(raw, o)
		return err != nil || !r.known.Contains(e.known)
	})
}

// readAsOf reads the documents of a page as they were.
func (r *Relay) readAsOf(ctx context.Context, name string, at bson.Timestamp, page []bson.Raw) (map[string]bson.Raw, error) {
	ids := make([]bson.RawValue, len(page))
	for i, doc := range page {
		ids[i] = doc.Lookup("_id")
	}
	docs, err := r.readAt(ctx, name, ids, at)
	byID := make(map[string]bson.Raw, len(docs))
	for _, doc := range docs {
		byID[idText(doc)] = doc
	}
	return byID, err
}

func idText(doc bson.Raw) string { return valueText(doc.Lookup("_id")) }

func valueText(v bson.RawValue) string { return string(append([]byte{byte(v.Type)}, v.Value...)) }

// originOf is where a swept entry was found. When it was written is not known
// any more; what it lacks comes from the time of the sweep.
func (r *Relay) originOf(name string, doc bson.Raw, at bson.Timestamp) *origin {
	key, _ := bson.Marshal(bson.D{{Key: "_id", Value: doc.Lookup("_id")}}) // it was one before
	o := r.origin(name, key)
	o.at, o.wall = at, time.Unix(int64(at.T), 0)
	o.ids = func() ids { return idsOf(doc.Lookup(r.cfg.Correlation)) }
	return o
}

// readAt reads documents as of a cluster time.
func (r *Relay) readAt(ctx context.Context, name string, docs []bson.RawValue, at bson.Timestamp) ([]bson.Raw, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	session, err := r.cfg.Database.Client().StartSession(options.Session().SetSnapshot(true).SetSnapshotTime(at))
	if err != nil {
		return nil, err
	}
	defer session.EndSession(ctx)
	ctx = mongo.NewSessionContext(ctx, session)
	opts := options.Find()
	if !r.isOutbox(name) {
		opts.SetProjection(r.projection())
	}
	cursor, err := r.collection(name).Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: docs}}}}, opts)
	if err != nil {
		return nil, err
	}
	var all []bson.Raw
	return all, cursor.All(ctx, &all)
}

// tooLongAgo reports whether the server has no snapshots of a time any more.
func tooLongAgo(err error) bool {
	return mongoerr.HasCode(err, mongoerr.SnapshotTooOld, mongoerr.SnapshotUnavailable)
}
