package mongostream

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

// maxEvent bounds the memory of one event: the document before and after a change, and
// what changed, with 16 MB each.
const maxEvent = 64 << 20

var (
	// splitLargeEvent must be the last stage. A stream can be resumed behind a fragment
	// only with it; the positions of this package are never there.
	splitLargeEvent = bson.D{{Key: "$changeStreamSplitLargeEvent", Value: bson.D{}}}
	// withoutDocuments makes an event small.
	withoutDocuments = bson.D{{Key: "$project", Value: bson.D{{Key: "fullDocument", Value: 0},
		{Key: "fullDocumentBeforeChange", Value: 0}, {Key: "updateDescription", Value: 0}}}}
)

// unsupported is what a server was found not to know.
type unsupported struct{ expanded, split atomic.Bool }

// add notes what err, of opening a stream, says that the server does not know. It reports
// whether opening it without that may succeed. The server names it, with a code that
// depends on its version.
func (u *unsupported) add(err error) bool {
	refused, ok := errors.AsType[mongo.CommandError](err)
	switch {
	case !ok:
		return false
	case strings.Contains(refused.Message, splitLargeEvent[0].Key):
		return !u.split.Swap(true)
	case strings.Contains(refused.Message, "showExpandedEvents"):
		return !u.expanded.Swap(true)
	}
	return false
}

// pace is how a stream gets past an event that the server can neither send nor split.
type pace int

const (
	whole    pace = iota // in batches
	single               // one by one, since a large event in a batch takes the others with it
	stripped             // the large event, without documents
)

func (p pace) batchSize() int32 {
	if p == whole {
		return batchSize
	}
	return 1
}

// slowDown chooses how to read on where the server cannot send an event. It returns
// other errors.
func (s *Stream) slowDown(err error) error {
	if !mongoerr.HasCode(err, mongoerr.BSONObjectTooLarge) || s.pace == stripped {
		return err
	}
	s.pace++
	return nil
}

// speedUp goes on as before when the large event was passed, or is not there.
func (s *Stream) speedUp(c *Change) {
	switch {
	case s.pace == stripped && c != nil:
		c.Stripped = c.IsOfDocument()
	case s.pace == single && (c == nil || s.returned >= batchSize):
	default:
		return
	}
	s.pace, s.reopen = whole, true
}

// assemble returns the change of an event, nil while fragments of it are missing. It
// copies raw, since the driver reuses its memory.
func (s *Stream) assemble(raw bson.Raw) (*Change, error) {
	s.parts = append(s.parts, slices.Clone(raw))
	s.size += len(raw)
	n, of := 1, 1
	if split, ok := raw.Lookup("splitEvent").DocumentOK(); ok {
		i, _ := split.Lookup("fragment").AsInt64OK()
		all, _ := split.Lookup("of").AsInt64OK()
		n, of = int(i), int(all)
	}
	switch {
	case n != len(s.parts) || n > of:
		return nil, fmt.Errorf("the server sent fragment %d of %d of an event behind %d others", n, of, len(s.parts)-1)
	case s.size > maxEvent:
		return nil, fmt.Errorf("%w: %d MB in %d of %d fragments", ErrEventTooLarge, s.size>>20, n, of)
	case n < of:
		return nil, nil
	}
	whole := s.parts
	s.parts, s.size = nil, 0
	return decode(whole)
}
