package changestream

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/infra/mongostream"
)

// collectionNames returns the collections of the mapping, sorted.
func (m *Mapping) collectionNames() []string {
	var all []string
	for name := range m.Collections {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// chooseImages reads which collections store the images of their changes, after turning
// them on if configured.
func (p *Publisher) chooseImages(ctx context.Context) (after, before options.FullDocument, err error) {
	on, err := p.collectionsWithImages(ctx)
	if err == nil && p.cfg.EnsureImages {
		if err = p.ensureImages(ctx, on); err == nil {
			on, err = p.collectionsWithImages(ctx)
		}
	}
	if err != nil {
		return "", "", fmt.Errorf("changestream: list the collections with before-images in %s: %w", p.cfg.Database.Name(), err)
	}
	with := 0
	for _, has := range on {
		if has {
			with++
		}
	}
	switch {
	case with == 0:
		return options.UpdateLookup, "", nil // a server before 6.0 does not know the other option
	case with == len(p.cfg.Mapping.Collections): // of existing ones, under whatever names
		return options.WhenAvailable, options.WhenAvailable, nil
	}
	return options.UpdateLookup, options.WhenAvailable, nil
}

// collectionsWithImages reports for each existing collection, views excluded, whether it
// stores images.
func (p *Publisher) collectionsWithImages(ctx context.Context) (map[string]bool, error) {
	places, err := mongostream.Locate(ctx, p.cfg.Database, p.cfg.Mapping.collectionNames()...)
	on := map[string]bool{}
	for name, place := range places {
		on[name], _ = place.Options.Lookup("changeStreamPreAndPostImages", "enabled").BooleanOK()
	}
	return on, err
}

func (p *Publisher) ensureImages(ctx context.Context, on map[string]bool) error {
	images := bson.D{{Key: "enabled", Value: true}}
	places, err := mongostream.Locate(ctx, p.cfg.Database, p.cfg.Mapping.collectionNames()...)
	if err != nil {
		return err
	}
	for _, name := range p.cfg.Mapping.collectionNames() {
		if on[name] {
			continue
		}
		command, target := "create", name
		if place, exists := places[name]; exists {
			command, target = "collMod", place.Name
		}
		err := p.cfg.Database.RunCommand(ctx, bson.D{{Key: command, Value: target}, {Key: "changeStreamPreAndPostImages", Value: images}}).Err()
		if err != nil && !mongoerr.HasCode(err, mongoerr.NamespaceExists) {
			return fmt.Errorf("turn on images for %s (MongoDB 6.0 or newer, and the right to collMod): %w", target, err)
		}
	}
	return nil
}

// errCollectionGone refuses an update whose document cannot be read any more.
var errCollectionGone = errors.New("the document cannot be looked up for the update: " +
	"its collection was dropped or renamed meanwhile; turn on post-images to keep it")

// lacksDocument reports whether the server did not send the document that a change left:
// of an update whose image has expired or was not kept yet, or whose document was deleted
// already; or of any change whose event was too large.
func lacksDocument(c *Change) bool {
	return c.Full == nil && (c.Operation == "update" || c.Stripped && c.Operation != "delete")
}

// lookUpDocument reads a document that the server did not send. It counts as deleted
// when it is missing, but only while its collection exists.
func (p *Publisher) lookUpDocument(ctx context.Context, c *Change) error {
	if !lacksDocument(c) {
		return nil
	}
	return p.readWhere(ctx, c.Collection, func(name string) (found bool, err error) {
		c.Full, err = p.cfg.Database.Collection(name).FindOne(ctx, c.Key).Raw()
		if errors.Is(err, mongo.ErrNoDocuments) {
			return false, nil
		}
		return true, err
	})
}

// readWhere calls read with the present name of a collection, and again with another one
// when it found nothing and migrate has renamed the collection meanwhile. It fails with
// errCollectionGone where there is none.
func (p *Publisher) readWhere(ctx context.Context, name string, read func(name string) (found bool, err error)) error {
	for before := ""; ; {
		places, err := mongostream.Locate(ctx, p.cfg.Database, name)
		if err != nil {
			return err
		}
		place, exists := places[name]
		switch {
		case !exists:
			return errCollectionGone
		case place.Name == before:
			return nil
		}
		if found, err := read(place.Name); found || err != nil {
			return err
		}
		before = place.Name
	}
}
