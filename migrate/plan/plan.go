// Package plan is an entity plan: what a migration moves where. It is a YAML file,
// read with [Read] or [Parse]; plan.md beside this file is its reference, and
// plan.schema.json its JSON Schema.
package plan

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// ErrInvalid is wrapped by every error about an entity plan's text.
var ErrInvalid = errors.New("invalid entity plan")

// maxSize bounds the file that Read accepts.
const maxSize = 1 << 20

// Plan says what moves where: one entity's source collection, its target table, its
// unique constraints and its fields.
type Plan struct {
	// Entity names the migration: the ownership record, and the migration's own state in
	// the control table. 1 to 100 letters, digits, '_', '.' or '-'.
	Entity string `yaml:"entity" jsonschema:"required,pattern=^[A-Za-z0-9_.-]{1\\,100}$"`
	// Source is the collection to move.
	Source Source `yaml:"source" jsonschema:"required"`
	// Target is the table to move it to.
	Target Target `yaml:"target" jsonschema:"required"`
	// Unique are the fields of which no two documents may share a value.
	Unique []Unique `yaml:"unique"`
	// Fields declare the types or the names of top-level fields. Fields that are not
	// listed are copied too.
	Fields []Field `yaml:"fields"`
	// VersionField is a field that the owning service raises with every write. An update
	// that does not set it is an out-of-band write: the cut-over is refused until none
	// was seen for budgets.outOfBandQuiet. Without it such writes cannot be detected.
	VersionField string `yaml:"versionField"`
	// DeepNesting is what becomes of documents that are nested deeper than DynamoDB
	// allows: "binary" stores the part that is too deep as binary BSON. Without it, such
	// documents stop the plan.
	DeepNesting string `yaml:"deepNesting" jsonschema:"enum=binary"`
	// Budgets bound what the migration may cost its surroundings.
	Budgets Budgets `yaml:"budgets"`

	codec *codec.Codec
}

// Source is the collection to move.
type Source struct {
	// Database is the database of the collection. Default: the one that MONGODB_URI names.
	Database string `yaml:"database"`
	// Collection is the name of the collection.
	Collection string `yaml:"collection" jsonschema:"required"`
}

// Target is the table to move it to. It is created where it does not exist.
type Target struct {
	// Table is the name of the table.
	Table string `yaml:"table" jsonschema:"required,pattern=^[A-Za-z0-9_.-]{3\\,255}$"`
	// Key is the partition key. The table has no sort key.
	Key Key `yaml:"key"`
}

// Key is the partition key of the target table.
type Key struct {
	// Attribute is its name in the table.
	Attribute string `yaml:"attribute" jsonschema:"default=id"`
	// From is the field of the document that it is made from. Only _id is supported.
	From string `yaml:"from" jsonschema:"default=_id,enum=_id"`
	// Type is the BSON type of that field, which every document must have there. The
	// attribute is a number for int32 and int64, else a string.
	Type string `yaml:"type" jsonschema:"default=objectId,enum=objectId,enum=string,enum=int32,enum=int64,enum=uuid"`
}

// Unique is a field of which no two documents may share a value. Documents without the
// field, or with null, are not constrained.
type Unique struct {
	// Field is a top-level field with strings or numbers, other than _id.
	Field string `yaml:"field" jsonschema:"required"`
	// Table is a table of its own for the values: the partition key "value" is
	// "<field>#<value>", the attribute "owner" is the key of the item that has it. It is
	// written in the item's transaction.
	Table string `yaml:"table" jsonschema:"required,pattern=^[A-Za-z0-9_.-]{3\\,255}$"`
}

// Field declares one top-level field.
type Field struct {
	// From is its name in the document.
	From string `yaml:"from" jsonschema:"required"`
	// To is the name of the attribute. Default: the name in the document.
	To string `yaml:"to"`
	// Type is the BSON type that the attribute stands for without a hint. A document may
	// have another type there: then a hint keeps it. Default: by the attribute's kind.
	Type string `yaml:"type" jsonschema:"enum=string,enum=objectId,enum=date,enum=int32,enum=int64,enum=double,enum=decimal128,enum=bool,enum=binary,enum=uuid,enum=timestamp,enum=document,enum=array"`
	// Compressed stores the field as deflated binary: the way out for documents that are
	// too large for an item.
	Compressed bool `yaml:"compressed"`
}

// Budgets bound what a migration may cost its surroundings. Durations are written like
// 900ms, 5s or 10m.
type Budgets struct {
	// Hold is the longest that a cut-over may hold writes, 10ms to 1m. A cut-over that
	// needs longer is undone.
	Hold time.Duration `yaml:"hold" jsonschema:"default=900ms"`
	// Lag is the greatest lag of the changes with which a cut-over may begin.
	Lag time.Duration `yaml:"lag" jsonschema:"default=5s"`
	// Verification is how long a verification counts for a cut-over.
	Verification time.Duration `yaml:"verification" jsonschema:"default=10m"`
	// OutOfBandQuiet is how long no out-of-band write must have been seen before a cut-over.
	OutOfBandQuiet time.Duration `yaml:"outOfBandQuiet" jsonschema:"default=10m"`
	// Tail is the greatest number of changed documents that a cut-over may leave to
	// compare while it holds writes.
	Tail int `yaml:"tail" jsonschema:"default=200,minimum=0"`
	// WriteRate is how many write units a second the target accepts, for the predicted time.
	WriteRate int `yaml:"writeRate" jsonschema:"default=4000,minimum=1"`
	// WritePrice is the price of a million write units in USD, for the predicted cost.
	WritePrice float64 `yaml:"pricePerMillionWrites" jsonschema:"default=0.625,minimum=0"`
}

func (b *Budgets) defaults() {
	b.Hold = cmp.Or(b.Hold, 900*time.Millisecond)
	b.Lag = cmp.Or(b.Lag, 5*time.Second)
	b.Verification = cmp.Or(b.Verification, 10*time.Minute)
	b.OutOfBandQuiet = cmp.Or(b.OutOfBandQuiet, 10*time.Minute)
	b.Tail = cmp.Or(b.Tail, 200)
	b.WriteRate = cmp.Or(b.WriteRate, 4000)
	b.WritePrice = cmp.Or(b.WritePrice, 0.625)
}

// Read reads a plan from a file. Errors wrap ErrInvalid, and say
// file:line:column and what to do.
func Read(file string) (*Plan, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read the entity plan: %w; name an existing file with --plan", err)
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("%w: %s: %d bytes, allowed are %d", ErrInvalid, file, info.Size(), maxSize)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the entity plan: %w", err)
	}
	return Parse(file, text)
}

// Parse parses a plan; name stands for the file in errors.
func Parse(name string, text []byte) (*Plan, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // some editors begin a file with it
	p := &Plan{}
	if err := yaml.UnmarshalWithOptions(text, p, yaml.Strict()); err != nil {
		return nil, syntaxError(name, text, err)
	}
	if at := secondDocument(text); at > 0 {
		return nil, fmt.Errorf("%w: %s:%d:1: a second YAML document begins; a plan is one document, write the other one to a file of its own", ErrInvalid, name, at)
	}
	p.Budgets.defaults()
	if path, problem := p.findProblem(); problem != "" {
		return nil, fmt.Errorf("%w: %s: %s", ErrInvalid, locate(name, text, path), problem)
	}
	c, err := codec.New(p.codecConfig())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, locate(name, text, "$.target"), err)
	}
	p.codec = c
	return p, nil
}

func (p *Plan) codecConfig() codec.Config {
	cfg := codec.Config{Key: codec.Key(p.Target.Key), Deep: codec.Deep(p.DeepNesting)}
	for _, f := range p.Fields {
		cfg.Fields = append(cfg.Fields, codec.Field(f))
	}
	return cfg
}

// Codec is the plan's codec.
func (p *Plan) Codec() *codec.Codec { return p.codec }
