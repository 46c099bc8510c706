package changes

import (
	"context"
	"errors"
	"fmt"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/names"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/source"
)

// ErrReplaced says that something happened to the collection as a whole, so that its documents are
// no longer those that were copied. MongoDB sends no event for each of them.
var ErrReplaced error = retry.Permanent("the collection as a whole was changed, without an event for each document: the copy and its " +
	"verifications no longer count; copy afresh with `banyan-migrate run --from-start`")

// ErrGivenBack says that the collection has its public name again, since the migration was abandoned.
var ErrGivenBack error = retry.Permanent("the migration was abandoned; begin again with `banyan-migrate encapsulate`")

// Stream is the change stream of everything that concerns the entity's collection, under
// whichever name, and of the barriers. documents says whether updates carry the whole
// document.
func Stream(src *source.Collection, documents options.FullDocument) mongostream.Source {
	of := mongostream.Collections{Names: []string{string(src.Names), source.Barriers}, Prefixes: []string{src.Names.Prefix()}}
	return mongostream.Source{Database: src.DB, Pipeline: mongo.Pipeline{of.Match()}, FullDocument: documents, ShowExpandedEvents: true}
}

// Place follows the name of the collection through a stream.
type Place struct {
	Names    names.Names
	Database string
	UUID     string // of the collection
	Name     string // of the collection at this place of the stream
}

// Concerns reports whether a change of a document is one of the collection. Others under
// its names are strays: of somebody who wrote to a name that the collection had left.
func (p *Place) Concerns(c *mongostream.Change) bool {
	if c.CollectionUUID != "" {
		return c.CollectionUUID == p.UUID
	}
	return c.Collection == p.Name
}

// Pass passes an event that is not a change of a document. renamed says that the
// collection has another name from here on; an error wraps [ErrReplaced] or [ErrGivenBack].
func (p *Place) Pass(c mongostream.Change) (renamed bool, err error) {
	switch c.Operation {
	case "create", "createIndexes", "dropIndexes", "modify", "invalidate":
		return false, nil
	case "dropDatabase":
		return false, p.replaced(c)
	case "rename":
		return p.passRename(c)
	case "drop":
		if c.Collection == p.Name {
			return false, p.replaced(c)
		}
		return false, nil
	}
	if c.Collection == p.Name {
		return false, p.replaced(c)
	}
	return false, nil
}

func (p *Place) passRename(c mongostream.Change) (bool, error) {
	kind, _ := p.Names.Parse(c.RenamedTo)
	if c.RenamedToDatabase != p.Database {
		kind = names.Foreign
	}
	switch {
	case c.Collection == p.Name && kind == names.Physical:
		p.Name = c.RenamedTo
		return true, nil
	case c.Collection == p.Name && kind == names.Public:
		return false, fmt.Errorf("follow %s: %w", p.Names, ErrGivenBack)
	case c.Collection == p.Name:
		return false, p.replaced(c)
	case c.RenamedTo != p.Name:
		return false, nil
	}
	from, _ := p.Names.Parse(c.Collection)
	if ours := from == names.Physical || from == names.Public; ours && c.DropTarget == "" && (c.CollectionUUID == "" || c.CollectionUUID == p.UUID) {
		return false, nil // the fence's, read once more: the name was stored with a place before it
	}
	return false, p.replaced(c)
}

func (p *Place) replaced(c mongostream.Change) error {
	return fmt.Errorf("%w (%s)", ErrReplaced, &c)
}

// handleDDL passes an event about a collection as a whole. That the copy has ended is
// stored before the position moves over it.
func (s *session) handleDDL(ctx context.Context, c mongostream.Change) error {
	place := s.place
	moved, err := place.Pass(c)
	if errors.Is(err, ErrGivenBack) { // all that is stored of the migration is removed just now
		return err
	}
	if err != nil {
		if endErr := s.endCopy(ctx, err); endErr != nil {
			return endErr
		}
		return err
	}
	if c.Operation == "modify" && place.Concerns(&c) {
		return s.Control.EndVerifications(ctx) // collMod: validation, expiry or images may be others now
	}
	if moved {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.place = place
		s.renames = append(s.renames, renamed{stamp.ClusterTimeOf(c.ClusterTime), place.Name})
	}
	return nil
}

// nameAtLocked is the collection's name at a position, "" where it has not changed.
func (s *session) nameAtLocked(at stamp.ClusterTime) (name string) {
	for len(s.renames) > 0 && s.renames[0].at <= at {
		name, s.renames = s.renames[0].name, s.renames[1:]
	}
	return name
}
