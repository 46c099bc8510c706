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
	if p.cfg.NoImages {
		return "", "", nil
	}
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
	case with == len(p.cfg.Mapping.Collections):
		return options.WhenAvailable, options.WhenAvailable, nil
	}
	return options.UpdateLookup, options.WhenAvailable, nil
}

// collectionsWithImages reports for each existing collection, views excluded, whether it stores images.
func (p *Publisher) collectionsWithImages(ctx context.Context) (map[string]bool, error) {
	ours := bson.D{{Key: "name", Value: bson.D{{Key: "$in", Value: p.cfg.Mapping.collectionNames()}}}, {Key: "type", Value: "collection"}}
	cur, err := p.cfg.Database.ListCollections(ctx, ours)
	if err != nil {
		return nil, err
	}
	var all []struct {
		Name    string
		Options struct {
			Images struct{ Enabled bool } `bson:"changeStreamPreAndPostImages"`
		}
	}
	if err := cur.All(ctx, &all); err != nil {
		return nil, err
	}
	on := map[string]bool{}
	for _, c := range all {
		on[c.Name] = c.Options.Images.Enabled
	}
	return on, nil
}

func (p *Publisher) ensureImages(ctx context.Context, on map[string]bool) error {
	images := bson.D{{Key: "enabled", Value: true}}
	for _, name := range p.cfg.Mapping.collectionNames() {
		has, exists := on[name]
		if has {
			continue
		}
		command := "collMod"
		if !exists {
			command = "create"
		}
		err := p.cfg.Database.RunCommand(ctx, bson.D{{Key: command, Value: name}, {Key: "changeStreamPreAndPostImages", Value: images}}).Err()
		if err != nil && !mongoerr.HasCode(err, mongoerr.NamespaceExists) {
			return fmt.Errorf("turn on images for %s (MongoDB 6.0 or newer, and the right to collMod): %w", name, err)
		}
	}
	return nil
}

// errCollectionGone refuses an update whose document cannot be read any more.
var errCollectionGone = errors.New("the document cannot be looked up for the update: " +
	"its collection was dropped or renamed meanwhile; turn on post-images to keep it")

// lookUpDocument reads the document of an update for which the server sent none: one
// whose image has expired or was not kept yet, or was not asked for, or one that
// was deleted already. A missing document counts as deleted only while its collection exists.
func (p *Publisher) lookUpDocument(ctx context.Context, c *Change) error {
	if c.Operation != "update" || c.Full != nil {
		return nil
	}
	doc, err := p.cfg.Database.Collection(c.Collection).FindOne(ctx, c.Key).Raw()
	if !errors.Is(err, mongo.ErrNoDocuments) {
		c.Full = doc
		return err
	}
	there, err := p.collectionsWithImages(ctx)
	if _, exists := there[c.Collection]; err == nil && !exists {
		return errCollectionGone
	}
	return err
}
