package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/target"
)

// Misfit is a document that stops the plan.
type Misfit struct {
	ID     string `json:"id"`
	Field  string `json:"field,omitempty"`
	Why    string `json:"why"`
	WayOut string `json:"wayOut"`
}

// Report is what a plan would do.
type Report struct {
	Entity string   `json:"entity"`
	Source string   `json:"source"`
	Tables []string `json:"tables"`
	// Definitions are the tables as run makes them where they do not exist.
	Definitions []plan.Definition `json:"definitions"`
	Documents   int64             `json:"documents"`
	// SourceBytes and TargetBytes count BSON and DynamoDB's own measure.
	SourceBytes int64  `json:"sourceBytes"`
	TargetBytes int64  `json:"targetBytes"`
	Largest     int    `json:"largestItemBytes"`
	LargestID   string `json:"largestItemId,omitempty"`
	// WriteUnits for the copy alone; transactions count twice.
	WriteUnits int64         `json:"writeUnits"`
	Cost       float64       `json:"costUSD"`
	Time       time.Duration `json:"timeNanoseconds"` // at the plan's write rate
	Misfits    int64         `json:"misfits"`
	Findings   []Finding     `json:"findings"`

	encrypted   int64 // documents with values that the client encrypted
	encryptedID string
}

// Run looks at the world, reads every document of the source, encodes it, and reports each
// that will not fit. The error is ErrStops if anything stops the plan.
func Run(ctx context.Context, cfg Config, report func(Misfit)) (Report, error) {
	r := Report{Entity: cfg.Plan.Entity, Source: cfg.DB.Name() + "." + cfg.Plan.Source.Collection}
	r.Definitions = cfg.Plan.Definitions()
	for _, d := range r.Definitions {
		r.Tables = append(r.Tables, d.Table)
	}
	w, found, err := look(ctx, cfg)
	if err != nil {
		return r, err
	}
	d := &documents{world: w, Report: &r, encoder: target.Tables{Plan: cfg.Plan}, misfit: func(m Misfit) {
		r.Misfits++
		if report != nil {
			report(m)
		}
	}}
	if w.source.readable() {
		if err := d.read(ctx); err != nil {
			return r, err
		}
	}
	if r.encrypted > 0 {
		found = append(found, acknowledge("encrypted-values",
			fmt.Sprintf("%d documents have values that a client encrypted (binary subtype 6), the first is %s",
				r.encrypted, r.encryptedID),
			"they are copied as they are; the clients' schema maps go by namespace, and apply neither to the table nor to the new name",
			"decrypt in the owning service"))
	}
	r.Findings = applyAcknowledged(found, cfg.Plan.Acknowledge)
	r.Cost = float64(r.WriteUnits) / 1e6 * cfg.Plan.Budgets.WritePrice
	r.Time = time.Duration(float64(r.WriteUnits) / float64(cfg.Plan.Budgets.WriteRate) * float64(time.Second))
	if r.Stopped() {
		return r, ErrStops
	}
	return r, nil
}

// Stopped reports whether anything stops the plan.
func (r Report) Stopped() bool {
	return r.Misfits > 0 || slices.ContainsFunc(r.Findings, Finding.Blocks)
}

// documents reads the documents of the source.
type documents struct {
	*world
	*Report
	encoder target.Tables
	misfit  func(Misfit)
}

// Each batch of documents must arrive within batchTimeout, the first of a sorted reading
// within sortTimeout.
const (
	batchTimeout = time.Minute
	sortTimeout  = 30 * time.Minute
	batchSize    = 1000
)

func (d *documents) read(ctx context.Context) error {
	err := d.each(ctx, options.Find().SetBatchSize(batchSize), func(doc bson.Raw) {
		d.Documents++
		d.SourceBytes += int64(len(doc))
		if hasEncrypted(doc) {
			if d.encrypted++; d.encrypted == 1 {
				d.encryptedID = codec.Show(doc.Lookup("_id"))
			}
		}
		ent, err := d.encoder.Encode(doc, 1<<32)
		if err == nil {
			err = plan.FitIndexes(ent.Item, d.indexKeys)
		}
		if err != nil {
			d.misfit(describeMisfit(doc, err))
			return
		}
		d.count(ent)
	})
	if err != nil {
		return err
	}
	indexes, err := d.listIndexes(ctx)
	if err != nil {
		return err
	}
	for n := range d.Plan.Unique {
		if slices.ContainsFunc(indexes, func(i index) bool { return i.CoversAll(&d.Plan.Unique[n]) }) {
			continue // it excludes duplicates
		}
		if err := d.findDuplicates(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// each calls fn with every document, which is valid until it returns.
func (d *documents) each(ctx context.Context, opts *options.FindOptionsBuilder, fn func(bson.Raw)) error {
	first, cancel := context.WithTimeout(ctx, sortTimeout)
	defer cancel()
	cur, err := d.DB.Collection(d.source.Name).Find(first, bson.D{}, opts)
	if err != nil {
		return fmt.Errorf("read %s: %w", d.namespace(d.source.Name), err)
	}
	defer cur.Close(ctx)
	for {
		more, err := next(ctx, cur)
		if err != nil {
			return fmt.Errorf("read %s: %w", d.namespace(d.source.Name), err)
		}
		if !more {
			return nil
		}
		fn(cur.Current)
	}
}

// next moves a cursor on, within batchTimeout where it has to ask the server.
func next(ctx context.Context, cur *mongo.Cursor) (bool, error) {
	if cur.RemainingBatchLength() == 0 {
		bounded, cancel := context.WithTimeout(ctx, batchTimeout)
		defer cancel()
		ctx = bounded
	}
	return cur.Next(ctx), cur.Err()
}

func describeMisfit(doc bson.Raw, err error) Misfit {
	var fit *codec.FitError
	if errors.As(err, &fit) {
		return Misfit{ID: codec.Show(doc.Lookup("_id")), Field: fit.Field, Why: fit.Reason.Error(), WayOut: fit.WayOut}
	}
	return Misfit{ID: codec.Show(doc.Lookup("_id")), Why: err.Error(), WayOut: "repair the document in MongoDB"}
}

// count adds a document's share of sizes and write units: one per KB begun, twice in a
// transaction, and as much for each unique entry.
func (r *Report) count(ent target.Entry) {
	size := codec.Size(ent.Item)
	r.TargetBytes += int64(size)
	if size > r.Largest {
		r.Largest, r.LargestID = size, codec.Show(ent.ID)
	}
	units := int64(size+1023) / 1024
	transactional := len(ent.Unique) > 0
	for _, v := range ent.Unique {
		if v != "" {
			units += int64(len(v)+200+1023) / 1024
		}
	}
	if transactional {
		units *= 2
	}
	r.WriteUnits += units
}

// encryptedSubtype is the binary subtype of values that a client has encrypted.
const encryptedSubtype = 6

// hasEncrypted reports whether a document or array holds an encrypted value, at any depth.
func hasEncrypted(doc bson.Raw) bool {
	elements, err := doc.Elements()
	if err != nil {
		return false // the codec reports it
	}
	for _, e := range elements {
		switch v := e.Value(); v.Type {
		case bson.TypeEmbeddedDocument, bson.TypeArray:
			if hasEncrypted(v.Value) {
				return true
			}
		case bson.TypeBinary:
			if subtype, _ := v.Binary(); subtype == encryptedSubtype {
				return true
			}
		}
	}
	return false
}
