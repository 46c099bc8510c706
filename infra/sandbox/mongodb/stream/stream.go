package stream

import (
	"slices"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// Stream is one change stream. It must be used by one goroutine at a time.
type Stream struct {
	engine   *store.Engine
	ns       store.Namespace // Coll empty: the database; DB empty too: the cluster
	full     string
	before   string
	expanded bool
	pipeline query.Pipeline
	read     token // everything up to it has been given out or passed over
	over     bool  // an invalidate event has been given out
	pending  bool  // resumed from the event that an invalidate event follows
	split    bool  // large events are split
	rest     []D   // what is still to be given out of the last one
}

// Open starts a stream from the argument of $changeStream and the stages after
// it.
func Open(e *store.Engine, ns store.Namespace, options D, stages V) (*Stream, error) {
	s := &Stream{engine: e, ns: ns, full: "default", before: "off"}
	if value.Truthy(value.Field(options, "allChangesForCluster")) {
		s.ns = store.Namespace{}
	}
	if err := s.configure(options); err != nil {
		return nil, err
	}
	stages, err := s.takeSplit(stages)
	if err != nil {
		return nil, err
	}
	p, err := query.CompilePipeline(stages)
	if err != nil {
		return nil, err
	}
	for _, name := range p.Names() {
		if !query.StreamStages[name] {
			return nil, failure.New(failure.Code(20), "%s is not permitted in a $changeStream pipeline", name)
		}
	}
	s.pipeline = p
	if err := s.begin(options); err != nil {
		return nil, err
	}
	return s, s.requireImages()
}

func (s *Stream) configure(options D) error {
	it := value.Elements(options)
	for it.Next() {
		text, _ := it.Value.StringValueOK()
		switch string(it.Key) {
		case "fullDocument":
			s.full = text
		case "fullDocumentBeforeChange":
			s.before = text
		case "showExpandedEvents":
			s.expanded = value.Truthy(it.Value)
		case "resumeAfter", "startAfter", "startAtOperationTime", "allChangesForCluster":
		default:
			return failure.New(failure.Code(40415), "BSON field '$changeStream.%s' is an unknown field.", it.Key)
		}
	}
	if !slices.Contains([]string{"default", "updateLookup", "whenAvailable", "required"}, s.full) {
		return failure.New(failure.BadValue, "Enumeration value '%s' for field '$changeStream.fullDocument' is not a valid value.", s.full)
	}
	if !slices.Contains([]string{"off", "whenAvailable", "required"}, s.before) {
		return failure.New(failure.BadValue, "Enumeration value '%s' for field '$changeStream.fullDocumentBeforeChange' is not a valid value.", s.before)
	}
	return nil
}

// begin finds the place to start from.
func (s *Stream) begin(options D) error {
	resume, after := value.Field(options, "resumeAfter"), value.Field(options, "startAfter")
	at := value.Field(options, "startAtOperationTime")
	given := 0
	for _, v := range []V{resume, after, at} {
		if !value.Missing(v) {
			given++
		}
	}
	switch {
	case given > 1:
		return failure.New(failure.Code(40674), "Only one of resumeAfter, startAfter and startAtOperationTime may be given in a $changeStream")
	case !value.Missing(resume), !value.Missing(after):
		return s.resume(resume, after)
	case !value.Missing(at):
		return s.startAt(at)
	}
	s.read = mark(s.engine.Now())
	return nil
}

func mark(at store.Timestamp) token {
	return token{Position: store.Position{At: at, Index: ^uint32(0)}, kind: tokenMark}
}

func (s *Stream) resume(resume, after V) error {
	v := resume
	if value.Missing(v) {
		v = after
	}
	t, err := parseToken(v)
	if err != nil {
		return err
	}
	if t.kind == tokenInvalidate && value.Missing(after) {
		return failure.New(failure.InvalidResumeToken, "Attempting to resume a change stream using 'resumeAfter' is not allowed from an invalidate notification.")
	}
	s.read = t
	if err := s.reachable(); err != nil {
		return err
	}
	if t.kind == tokenEvent {
		e, ok := s.engine.At(t.Position)
		s.pending = ok && s.invalidates(e)
		if ok && t.fragment > 0 {
			return s.resumeFragments(e)
		}
	}
	return nil
}

func (s *Stream) startAt(v V) error {
	t, i, ok := v.TimestampOK()
	if !ok {
		return failure.New(failure.TypeMismatch, "startAtOperationTime must be a timestamp")
	}
	at := store.Timestamp{T: t, I: i}
	if at.I > 0 {
		at.I--
	} else {
		at = store.Timestamp{T: t - 1, I: ^uint32(0)}
	}
	s.read = mark(at)
	return s.reachable()
}

func (s *Stream) reachable() error {
	if _, _, ok := s.engine.Read(s.read.Position, 1); !ok {
		return historyLost()
	}
	return nil
}

func historyLost() error {
	return failure.New(failure.ChangeStreamHistoryLost, "Resume of change stream was not possible, as the resume point may no longer be in the oplog.").
		WithLabels("NonResumableChangeStreamError")
}

func (s *Stream) requireImages() error {
	if s.full != "required" && s.before != "required" || s.ns.Coll == "" {
		return nil
	}
	if i, ok := s.engine.Lookup(s.ns); ok && !i.PrePost {
		return failure.New(failure.NoMatchingDocument, "Change stream was configured to require images, but changeStreamPreAndPostImages is not enabled on %s", s.ns)
	}
	return nil
}

// Limits of one batch.
const (
	maxScan       = 1000
	maxBatchBytes = value.MaxDocumentSize
)

// Next gives the events that are there, at most limit. If there are none,
// changed is closed when there may be. Next never waits.
func (s *Stream) Next(limit int) (events []D, changed <-chan struct{}, err error) {
	if s.over {
		return nil, nil, nil
	}
	if s.pending {
		if e, ok := s.engine.At(s.read.Position); ok {
			return s.invalidate(e, nil)
		}
	}
	if len(s.rest) > 0 && limit > 0 {
		events, s.rest = s.rest[:1], s.rest[1:]
		s.read.fragment++
		return events, nil, nil
	}
	entries, changed, ok := s.engine.Read(s.read.Position, maxScan)
	if !ok {
		return nil, nil, historyLost()
	}
	size := 0
	for _, e := range entries {
		d, err := s.event(e)
		if err != nil {
			return events, nil, err
		}
		if d != nil && (len(events) == limit || len(events) > 0 && size+len(d) > maxBatchBytes) {
			return events, changed, nil
		}
		if len(d) > maxEvent {
			return s.large(e, d, events)
		}
		s.pass(e, d)
		if d != nil {
			events, size = append(events, d), size+len(d)
		}
		if s.invalidates(e) {
			return s.invalidate(e, events)
		}
	}
	if len(entries) == maxScan && len(events) == 0 {
		ready := make(chan struct{})
		close(ready)
		changed = ready
	}
	return events, changed, nil
}

func (s *Stream) pass(e *store.Entry, event D) {
	s.read = token{Position: e.Position, kind: tokenMark}
	if event != nil {
		s.read.kind = tokenEvent
	}
}

// Over says that the stream ended with an invalidate event.
func (s *Stream) Over() bool { return s.over }

// Token is the postBatchResumeToken.
func (s *Stream) Token() D { return s.read.document() }

// invalidates says whether an entry ends the stream: the collection was dropped
// or renamed, or the database dropped.
func (s *Stream) invalidates(e *store.Entry) bool {
	switch e.Kind {
	case store.Dropped:
		return s.ns.Coll != "" && e.NS == s.ns
	case store.Renamed:
		return s.ns.Coll != "" && (e.NS == s.ns || e.To == s.ns)
	case store.DatabaseDropped:
		return s.ns.DB != "" && e.NS.DB == s.ns.DB
	}
	return false
}

func (s *Stream) invalidate(e *store.Entry, events []D) ([]D, <-chan struct{}, error) {
	s.read = token{Position: e.Position, kind: tokenInvalidate}
	s.over = true
	d, err := s.shape(s.header(e, "invalidate").end())
	if d != nil {
		events = append(events, d)
	}
	return events, nil, err
}

// shape sends an event through the stream's own stages; nil if it was filtered.
func (s *Stream) shape(d D) (D, error) {
	id := value.Field(d, "_id")
	out, err := s.pipeline.Run([]D{d})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	if !value.Equal(id, value.Field(out[0], "_id")) {
		return nil, failure.New(failure.ChangeStreamFatalError,
			"Encountered an event whose _id field, which contains the resume token, was modified by the pipeline. Modifying the _id field of an "+
				"event makes it impossible to resume the stream from that point.").
			WithLabels("NonResumableChangeStreamError")
	}
	return out[0], nil
}
