package stream

import (
	"cmp"
	"slices"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/query"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

// maxEvent is how large an event may be: a document and something around it.
const maxEvent = value.MaxDocumentSize + 8<<10

const splitStage = "$changeStreamSplitLargeEvent"

// takeSplit takes the stage that splits large events off the end of a pipeline.
func (s *Stream) takeSplit(stages V) (V, error) {
	list, _ := stages.Array().Values()
	for i, v := range list {
		name, argument, err := query.StageOf(v)
		switch {
		case err != nil:
			return stages, err
		case name != splitStage:
			continue
		case argument.Type != bsoncore.TypeEmbeddedDocument || len(argument.Data) > 5:
			return stages, failure.New(failure.Code(7182800), "%s spec should be an empty object", splitStage)
		case i < len(list)-1:
			return stages, failure.New(failure.Code(7182802), "%s must be the last stage in the pipeline", splitStage)
		}
		s.split = true
		return value.Array(list[:i]...), nil
	}
	return stages, nil
}

// large gives out the first fragment of an event that is too large, after what
// comes before it; or it ends the stream.
func (s *Stream) large(e *store.Entry, d D, before []D) ([]D, <-chan struct{}, error) {
	if !s.split {
		return nil, nil, failure.New(failure.BSONObjectTooLarge, "BSONObj size: %d is invalid. Size must be between 0 and %d. First element: _id: %s",
			len(d), maxEvent, value.Field(d, "_id"))
	}
	if len(before) > 0 {
		return before, nil, nil
	}
	fragments := fragmentsOf(token{Position: e.Position, kind: tokenEvent}, d)
	s.read = token{Position: e.Position, kind: tokenEvent, fragment: 1}
	s.rest = fragments[1:]
	return fragments[:1], nil, nil
}

// resumeFragments goes on within an event.
func (s *Stream) resumeFragments(e *store.Entry) error {
	d, err := s.event(e)
	if err != nil {
		return err
	}
	fragments := fragmentsOf(s.read, d)
	if !s.split || int(s.read.fragment) > len(fragments) {
		return failure.New(failure.ChangeStreamFatalError, "Attempted to resume from a split event, but the resumed stream produced a different "+
			"split. Ensure that the pipeline used to resume is the same as the original")
	}
	s.rest = fragments[s.read.fragment:]
	return nil
}

// fragmentsOf distributes the fields of an event, the small ones first, to as few
// events as they fit in. No field is larger than a document.
func fragmentsOf(t token, d D) []D {
	var fields []bsoncore.Element
	all, _ := d.Elements()
	for _, f := range all {
		if f.Key() != "_id" {
			fields = append(fields, f)
		}
	}
	slices.SortStableFunc(fields, func(a, b bsoncore.Element) int { return cmp.Compare(len(a), len(b)) })
	const around = 1 << 10 // the token and splitEvent
	var parts [][]byte
	for _, f := range fields {
		if n := len(parts); n == 0 || len(parts[n-1])+len(f) > maxEvent-around {
			parts = append(parts, nil)
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], f...)
	}
	fragments := make([]D, len(parts))
	for i, part := range parts {
		t.fragment = byte(i + 1)
		fragments[i] = bsoncore.BuildDocument(nil,
			bsoncore.AppendDocumentElement(nil, "_id", t.document()),
			bsoncore.AppendDocumentElement(nil, "splitEvent", bsoncore.BuildDocument(nil,
				bsoncore.AppendInt32Element(nil, "fragment", int32(i+1)), bsoncore.AppendInt32Element(nil, "of", int32(len(parts))))), part)
	}
	return fragments
}
