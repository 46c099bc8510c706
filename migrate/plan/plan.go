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
	// Unique are the constraints: fields of which no two documents may share the value.
	Unique []Unique `yaml:"unique"`
	// Indexes are the global secondary indexes of the target table. run makes them with the
	// table; one that exists must have them.
	Indexes []Index `yaml:"indexes"`
	// Fields declare the types or the names of top-level fields. Fields that are not
	// listed are copied too.
	Fields []Field `yaml:"fields"`
	// Computed are attributes made from fields, for indexes. They stand for no field: the way
	// back passes over them, and a service that changes the fields changes them too.
	Computed []Computed `yaml:"computed"`
	// TTL is the attribute by which DynamoDB deletes items, in the place of a TTL index.
	TTL *TTL `yaml:"ttl"`
	// Outbox is where events wait with the writes that they are about, until they are published.
	Outbox Outbox `yaml:"outbox"`
	// VersionField is a field that the owning service raises with every write. An update
	// that does not set it is an out-of-band write: the cut-over is refused until none
	// was seen for budgets.outOfBandQuiet. Without it such writes cannot be detected.
	VersionField string `yaml:"versionField"`
	// DeepNesting is what becomes of documents that are nested deeper than DynamoDB
	// allows: "binary" stores the part that is too deep as binary BSON. Without it, such
	// documents stop the plan.
	DeepNesting string `yaml:"deepNesting" jsonschema:"enum=binary"`
	// Acknowledge names what does not carry over, and is accepted so, each as the verb plan
	// prints it: "index:NAME", "collation", "validator", "items:TABLE" and others. What is
	// not named stops the plan.
	Acknowledge []string `yaml:"acknowledge" jsonschema:"uniqueItems=true,minLength=1"`
	// Gate says when somebody else's use of the collection is in the way.
	Gate Gate `yaml:"gate"`
	// SwitchAfter names the entities that DynamoDB must own before it can own this one: those
	// that its documents refer to, say. Until then the cut-over is refused, and from then on the
	// rollback of those.
	SwitchAfter []string `yaml:"switchAfter" jsonschema:"uniqueItems=true"`
	// Budgets bound what the migration may cost its surroundings.
	Budgets Budgets `yaml:"budgets"`
	// Complete says what the verb complete does with what is left in MongoDB.
	Complete Complete `yaml:"complete"`

	codec     *codec.Codec
	indexKeys map[string]IndexKey
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
	// Key is the key of its items.
	Key Key `yaml:"key"`
}

// Key is the key of the target table: made of the _id, or by templates of the _id and of other
// fields.
type Key struct {
	// Attribute is its name in the table.
	Attribute string `yaml:"attribute" jsonschema:"default=id"`
	// From is the field of the document that it is made from. Only _id is supported.
	From string `yaml:"from" jsonschema:"default=_id,enum=_id"`
	// Type is the BSON type of that field, which every document must have there; or
	// "number" for int32, int64, double and decimal128 together, which MongoDB compares by
	// value; or "mixed" for several types. Two _ids have one key exactly if MongoDB takes them
	// for the same. The attribute is a number for int32, int64 and number, else a string: a
	// document is compact JSON with its fields in their order, {"tenant":"a","n":1}; in mixed
	// a string stands as it is, an ObjectId as its 24 digits, and all else, as well as a string
	// that could be taken for one of those, behind its type, such as number:1, uuid:..., date:...,
	// document:{...} or string:.... Where that does not tell the BSON type, a hint keeps it.
	Type string `yaml:"type" jsonschema:"default=objectId,enum=objectId,enum=string,enum=int32,enum=int64,enum=uuid,enum=date,enum=number,enum=document,enum=mixed"`
	// Template makes the key of several fields, such as "{tenant}#{_id}"; dots lead into
	// documents. It must name {_id}, whose type is then what type says, and have a # between two
	// fields. Strings, numbers, booleans, dates, ObjectIds, UUIDs and binary values can be there;
	// a document where a field is absent, null or another value does not fit. Where a template has
	// several fields, % and # within values are %25 and %23. A document whose fields change moves to another
	// item. A key of other fields than _id needs a constraint under unique on _id, whose entry says which item the
	// document has.
	Template string `yaml:"template"`
	// Parts are a partition key and a sort key: the two fields that every _id consists of, in
	// their order, where the type is document; or a template for each, of which one names {_id}.
	Parts []KeyPart `yaml:"parts"`
}

// KeyPart is a field of the _id that is a key attribute of its own, or a template of one.
type KeyPart struct {
	// Field is its name in the _id.
	Field string `yaml:"field"`
	// Type is its BSON type, or "number".
	Type string `yaml:"type" jsonschema:"enum=string,enum=objectId,enum=int32,enum=int64,enum=uuid,enum=date,enum=number"`
	// Template makes the attribute of fields, in the place of field and type, as that of the key.
	// The sort key is a number where it is {_id} alone, of such a type.
	Template string `yaml:"template"`
	// Attribute is the name of the attribute. Default: pk and sk.
	Attribute string `yaml:"attribute"`
}

// Unique is a constraint: no two documents may share the value of its fields. Documents
// without one of them, or with null there, are not constrained by the table; by MongoDB's unique
// index those with null are, so that two of them, once there, stop the rollback: leave the field out.
type Unique struct {
	// Field is a top-level field. It is _id where target.key is made of other
	// fields, too, and only there.
	Field string `yaml:"field"`
	// Fields are several such fields, in the place of one, which are unique together.
	Fields []string `yaml:"fields"`
	// Where are the conditions that a document must meet to be constrained, all of them: those
	// of the source index's partialFilterExpression.
	Where []Where `yaml:"where"`
	// Collation is how texts are compared: byte for byte, or "lower" for texts that are lowered
	// first, as the owning service then lowers them.
	Collation string `yaml:"collation" jsonschema:"enum=lower"`
	// Table is a table of its own for the values: the partition key "value" is
	// "<field>#<value>", the attribute "owner" is the key of the item that has it, of a key with
	// a sort key "<partition>#<sort>" with % and # within them as %25 and %23; while
	// changes are still to be applied, "others" may name more. It is written in the item's
	// transaction. A string stands as it is; any other type, and a string that could be taken
	// for one, behind its name, such as number:1 or objectId:.... Of several fields it is
	// "<field>+<field>#<value>#<value>", with % and # within values as %25 and %23.
	Table string `yaml:"table" jsonschema:"required,pattern=^[A-Za-z0-9_.-]{3\\,255}$"`
}

// Where is a condition on a document.
type Where struct {
	// Field is a top-level field.
	Field string `yaml:"field" jsonschema:"required"`
	// Equals is the string, the number, or the true or false that it must have. Without it, the
	// field must be there, be it null.
	Equals any `yaml:"equals"`
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
	// Drop leaves the field out of the table. MongoDB keeps it, also on the way back, for
	// documents that it has.
	Drop bool `yaml:"drop"`
}

// Computed is an attribute made from fields.
type Computed struct {
	// Attribute is its name in the table.
	Attribute string `yaml:"attribute" jsonschema:"required"`
	// Template is a text with fields in braces, such as "{tenant}#{status}"; dots lead into
	// documents. Strings, numbers, booleans, dates, ObjectIds, UUIDs and binary values can be
	// there; where a field is absent or null, so is the attribute.
	Template string `yaml:"template" jsonschema:"required"`
}

// TTL is how items expire. DynamoDB deletes them days late, so whoever reads filters by the
// attribute. It begins with the verb complete: before, a late copy could bring back what it
// had deleted.
type TTL struct {
	// Field is the date by which documents expire, or an array of which the earliest counts;
	// dots lead into documents.
	Field string `yaml:"field" jsonschema:"required"`
	// After is how long after that date, in whole seconds: the TTL index's expireAfterSeconds.
	After time.Duration `yaml:"after" jsonschema:"default=0s"`
	// Attribute is the name of the attribute, a number of seconds since 1970.
	Attribute string `yaml:"attribute" jsonschema:"required"`
}

// Outbox is where the owning service, or a relay, has the events that are not published yet.
// The owner changes only when nothing waits in the store that it leaves: behind the fence a
// cut-over waits for the field, and a rollback for the table.
type Outbox struct {
	// Field is the array of a document that events wait in, such as _outbox. It stays in MongoDB,
	// as do its marks, <field>_cleared and <field>_deleted: they are neither copied nor compared,
	// and an update of nothing else is no write of the entity. A document with the latter is deleted
	// but for the events that wait in it, and goes with them. The index <field>_waiting, on
	// <field>.id of the documents that have one, finds them.
	Field string `yaml:"field"`
	// Table is the table that events wait in while DynamoDB is the owner.
	Table string `yaml:"table" jsonschema:"pattern=^[A-Za-z0-9_.-]{3\\,255}$"`
}

// Fields are those of a document that are the outbox's.
func (o Outbox) Fields() []string {
	if o.Field == "" {
		return nil
	}
	return []string{o.Field, o.Field + "_cleared", o.Field + "_deleted"}
}

// Values of Gate.Reads.
const (
	WarnReads   = "warn"
	RefuseReads = "refuse"
)

// Gate says when somebody else's use of the collection is in the way of encapsulate and
// cutover. Others' writes always are.
type Gate struct {
	// Reads is what becomes of encapsulate and cutover while others read the collection: a
	// view serves their reads, with what MongoDB has.
	Reads string `yaml:"reads" jsonschema:"default=warn,enum=warn,enum=refuse"`
	// Window is how long ago the last use by somebody else must be.
	Window time.Duration `yaml:"window" jsonschema:"default=10m"`
}

func (g *Gate) defaults() {
	g.Reads = cmp.Or(g.Reads, WarnReads)
	g.Window = cmp.Or(g.Window, 10*time.Minute)
}

// Complete says what becomes of the collection, and of the views that lead to it, when the
// migration is completed. Without either key they stay.
type Complete struct {
	// ExportTo is a directory that the collection is exported to: compressed extended JSON
	// with a checksum, and its options and indexes.
	ExportTo string `yaml:"exportTo"`
	// Drop drops the collection and the views, behind the export if there is one.
	Drop bool `yaml:"drop"`
}

// Budgets bound what a migration may cost its surroundings. Durations are written like
// 900ms, 5s or 10m.
type Budgets struct {
	// Hold is the longest that a cut-over or a rollback may hold writes, 10ms to 1m. One
	// that needs longer is undone.
	Hold time.Duration `yaml:"hold" jsonschema:"default=900ms"`
	// Lag is the greatest lag of the changes, and of the way back, with which either may begin.
	Lag time.Duration `yaml:"lag" jsonschema:"default=5s"`
	// Verification is how long a verification counts for either.
	Verification time.Duration `yaml:"verification" jsonschema:"default=10m"`
	// OutOfBandQuiet is how long no out-of-band write must have been seen before a cut-over.
	OutOfBandQuiet time.Duration `yaml:"outOfBandQuiet" jsonschema:"default=10m"`
	// Tail is the greatest number of changed documents that a cut-over or a rollback may
	// leave to compare while it holds writes.
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
		return nil, fmt.Errorf("%w: %w; name an existing file with --plan", ErrInvalid, err)
	}
	if info.Size() > maxSize {
		return nil, fmt.Errorf("%w: %s: %d bytes, allowed are %d", ErrInvalid, file, info.Size(), maxSize)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
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
	p.Gate.defaults()
	p.Budgets.defaults()
	p.Target.Key.Type = cmp.Or(p.Target.Key.Type, codec.TypeObjectID)
	if path, problem := p.findProblem(); problem != "" {
		return nil, fmt.Errorf("%w: %s: %s", ErrInvalid, locate(name, text, path), problem)
	}
	c, err := codec.New(p.codecConfig())
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrInvalid, locate(name, text, "$.target"), err)
	}
	if problem := p.lookupProblem(c); problem != "" {
		return nil, fmt.Errorf("%w: %s: %s", ErrInvalid, locate(name, text, "$.target.key"), problem)
	}
	p.codec = c
	p.indexKeys = p.findIndexKeys()
	return p, nil
}

func (p *Plan) codecConfig() codec.Config {
	k := p.Target.Key
	cfg := codec.Config{Key: codec.Key{Attribute: k.Attribute, From: k.From, Type: k.Type, Template: k.Template}, Deep: codec.Deep(p.DeepNesting),
		Passing: p.Outbox.Fields()}
	for _, part := range k.Parts {
		cfg.Key.Parts = append(cfg.Key.Parts, codec.Part(part))
	}
	for _, f := range p.Fields {
		cfg.Fields = append(cfg.Fields, codec.Field(f))
	}
	for _, c := range p.Computed {
		cfg.Derived = append(cfg.Derived, codec.Derived{Attribute: c.Attribute, Template: c.Template})
	}
	if p.TTL != nil {
		cfg.Derived = append(cfg.Derived, codec.Derived{Attribute: p.TTL.Attribute, Expires: p.TTL.Field, After: p.TTL.After})
	}
	return cfg
}

// Codec is the plan's codec.
func (p *Plan) Codec() *codec.Codec { return p.codec }
