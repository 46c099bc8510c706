package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/internal/retry"
	"github.com/banyan-fig/banyan/migrate/plan"
	"github.com/banyan-fig/banyan/migrate/target"
)

// Misfit is one thing that stops a plan.
type Misfit struct {
	ID     string `json:"id"` // of the document
	Field  string `json:"field,omitempty"`
	Why    string `json:"why"`
	WayOut string `json:"wayOut"`
}

// Preflight is what a plan would do.
type Preflight struct {
	Entity    string   `json:"entity"`
	Source    string   `json:"source"`
	Tables    []string `json:"tables"`
	Documents int64    `json:"documents"`
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
	Warnings   []string      `json:"warnings,omitempty"`
}

// ErrMisfits is returned when documents do not fit; each was reported.
var ErrMisfits = errors.New("documents do not fit the plan")

// Preflight reads every document of the source, encodes it, and reports each
// that will not fit before anything is copied. It writes nothing. The error is
// ErrMisfits if anything stops the plan.
func (e *Engine) Preflight(ctx context.Context, report func(Misfit)) (Preflight, error) {
	p := Preflight{Entity: e.Plan.Entity, Source: e.source.DB.Name() + "." + e.source.Name}
	for _, in := range e.Plan.TableInputs() {
		p.Tables = append(p.Tables, *in.TableName)
	}
	if err := e.source.MustExist(ctx, 0); err != nil {
		return p, err
	}
	misfit := func(m Misfit) {
		p.Misfits++
		if report != nil {
			report(m)
		}
	}
	if err := e.checkTables(ctx, misfit); err != nil {
		return p, err
	}
	if err := e.checkDocuments(ctx, &p, misfit); err != nil {
		return p, err
	}
	for _, u := range e.Plan.Unique {
		if err := e.findDuplicates(ctx, &p, u, misfit); err != nil {
			return p, err
		}
	}
	p.Cost = float64(p.WriteUnits) / 1e6 * e.Plan.Budgets.WritePrice
	p.Time = time.Duration(float64(p.WriteUnits) / float64(e.Plan.Budgets.WriteRate) * float64(time.Second))
	if p.Misfits > 0 {
		return p, fmt.Errorf("%w: %d found", ErrMisfits, p.Misfits)
	}
	return p, nil
}

// checkTables checks the keys of target tables that exist already.
func (e *Engine) checkTables(ctx context.Context, misfit func(Misfit)) error {
	conflicts, err := e.target.KeyConflicts(ctx)
	if err != nil {
		return retry.Reachable("DynamoDB", "AWS_ENDPOINT_URL and AWS_REGION", err)
	}
	for _, c := range conflicts {
		misfit(Misfit{ID: c.Table, Why: fmt.Sprintf("the table exists with another key: it has %s, the plan needs %s", c.Have, c.Want),
			WayOut: "remove the table, or correct the plan"})
	}
	return nil
}

func (e *Engine) checkDocuments(ctx context.Context, p *Preflight, misfit func(Misfit)) error {
	cur, err := e.source.DB.Collection(e.source.Name).Find(ctx, bson.D{}, options.Find().SetBatchSize(1000))
	if err != nil {
		return fmt.Errorf("read %s: %w", p.Source, err)
	}
	defer cur.Close(ctx)
	for cur.Next(ctx) {
		p.Documents++
		p.SourceBytes += int64(len(cur.Current))
		ent, err := e.target.Encode(cur.Current, 1<<32)
		if err != nil {
			misfit(describeMisfit(err))
			continue
		}
		p.countDocument(ent)
	}
	if err := cur.Err(); err != nil {
		return fmt.Errorf("read %s: %w", p.Source, err)
	}
	return nil
}

func describeMisfit(err error) Misfit {
	var fit *codec.FitError
	if errors.As(err, &fit) {
		return Misfit{ID: fit.ID, Field: fit.Field, Why: fit.Reason.Error(), WayOut: fit.WayOut}
	}
	return Misfit{ID: "(unknown)", Why: err.Error(), WayOut: "repair the document in MongoDB"}
}

// countDocument adds a document's share of sizes and write units: one per KB begun,
// twice in a transaction, and as much for each unique entry.
func (p *Preflight) countDocument(ent target.Entry) {
	size := codec.Size(ent.Item)
	p.TargetBytes += int64(size)
	if size > p.Largest {
		p.Largest, p.LargestID = size, codec.Show(ent.ID)
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
	p.WriteUnits += units
}

// findDuplicates reports documents that share a value which the plan calls unique.
// A unique index of the source excludes them; without one, the values are read in their
// order, so that equal ones follow each other.
func (e *Engine) findDuplicates(ctx context.Context, p *Preflight, u plan.Unique, misfit func(Misfit)) error {
	indexed, err := e.hasUniqueIndex(ctx, u.Field)
	if err != nil || indexed {
		return err
	}
	p.Warnings = append(p.Warnings, fmt.Sprintf("the source has no unique index on %q: duplicates can arise while the migration runs; "+
		"create the index first", u.Field))
	opts := options.Find().SetSort(bson.D{{Key: u.Field, Value: 1}}).SetProjection(bson.D{{Key: "_id", Value: 1},
		{Key: u.Field, Value: 1}}).SetAllowDiskUse(true).SetBatchSize(1000)
	cur, err := e.source.DB.Collection(e.source.Name).Find(ctx, bson.D{}, opts)
	if err != nil {
		return fmt.Errorf("look for duplicates of %q: %w", u.Field, err)
	}
	defer cur.Close(ctx)
	var last bson.RawValue
	var lastID string
	for cur.Next(ctx) {
		value, id := cur.Current.Lookup(u.Field), codec.Show(cur.Current.Lookup("_id"))
		if !value.IsZero() && value.Type != bson.TypeNull && !last.IsZero() && value.Equal(last) {
			misfit(Misfit{ID: id, Field: u.Field, Why: fmt.Sprintf("document %s has the same value %s", lastID, codec.Show(value)),
				WayOut: "change or remove one of the two in MongoDB"})
			continue
		}
		last, lastID = bson.RawValue{Type: value.Type, Value: append([]byte{}, value.Value...)}, id
	}
	return cur.Err()
}

func (e *Engine) hasUniqueIndex(ctx context.Context, field string) (bool, error) {
	cur, err := e.source.DB.Collection(e.source.Name).Indexes().List(ctx)
	if err != nil {
		return false, fmt.Errorf("list the indexes of %s: %w", e.source.Name, err)
	}
	var all []struct {
		Key     bson.D
		Unique  bool
		Partial bson.Raw `bson:"partialFilterExpression"`
	}
	if err := cur.All(ctx, &all); err != nil {
		return false, fmt.Errorf("list the indexes of %s: %w", e.source.Name, err)
	}
	for _, i := range all {
		if i.Unique && i.Partial == nil && len(i.Key) == 1 && i.Key[0].Key == field {
			return true, nil
		}
	}
	return false, nil
}
