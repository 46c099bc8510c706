package plan

import (
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// CollationLower compares texts that are lowered first.
const CollationLower = "lower"

// Names are the fields of a constraint.
func (u *Unique) Names() []string {
	if u.Field != "" {
		return []string{u.Field}
	}
	return u.Fields
}

// Name is the constraint's name: its fields, joined by '+'.
func (u *Unique) Name() string { return strings.Join(u.Names(), "+") }

// Reads are the fields that decide the constraint's value.
func (u *Unique) Reads() []string {
	all := slices.Clone(u.Names())
	for _, w := range u.Where {
		if !slices.Contains(all, w.Field) {
			all = append(all, w.Field)
		}
	}
	return all
}

// Value is the key of a document's entry, "" where the constraint is not about it. field
// gives the value of a field, the zero value for none. It fails with a [*codec.FitError] for
// a value that cannot be unique.
func (u *Unique) Value(field func(name string) (bson.RawValue, error)) (string, error) {
	for _, w := range u.Where {
		v, err := field(w.Field)
		if err != nil || !w.holds(v) {
			return "", err
		}
	}
	names := u.Names()
	parts := make([]string, len(names))
	for i, name := range names {
		v, err := field(name)
		if err != nil || v.IsZero() || v.Type == bson.TypeNull {
			return "", err
		}
		if parts[i], err = codec.ValueText(v); err != nil {
			return "", &codec.FitError{Field: name, Reason: fmt.Errorf("%w; a unique value must be a scalar or a document", err),
				WayOut: "repair the field in MongoDB, or take the constraint out of the plan"}
		}
		if v.Type == bson.TypeString && u.Collation == CollationLower {
			parts[i] = strings.ToLower(parts[i])
		}
		if len(names) > 1 {
			parts[i] = strings.NewReplacer("%", "%25", "#", "%23").Replace(parts[i])
		}
	}
	value := u.Name() + "#" + strings.Join(parts, "#")
	if len(value) > codec.MaxKeySize {
		return "", &codec.FitError{Field: names[0], Reason: fmt.Errorf("%w: %d bytes, allowed are %d", codec.ErrKeySize, len(value), codec.MaxKeySize),
			WayOut: "shorten the value in MongoDB, or take the constraint out of the plan"}
	}
	return value, nil
}

func (w *Where) holds(v bson.RawValue) bool {
	if v.IsZero() || w.Equals == nil {
		return !v.IsZero()
	}
	want, ok := w.value()
	return ok && codec.Identity(v) == codec.Identity(want)
}

// String is the condition, such as "equals number:1" or "exists".
func (w *Where) String() string {
	v, ok := w.value()
	if !ok {
		return "exists"
	}
	text, _ := codec.ValueText(v) // a scalar that the plan was checked for
	return "equals " + text
}

// value is the condition's value as BSON.
func (w *Where) value() (bson.RawValue, bool) {
	switch v := w.Equals.(type) {
	case string, bool, float64, int64:
	case uint64:
		if int64(v) < 0 {
			return bson.RawValue{}, false
		}
		return rawValue(int64(v))
	default:
		return bson.RawValue{}, false
	}
	return rawValue(w.Equals)
}

func rawValue(v any) (bson.RawValue, bool) {
	t, b, err := bson.MarshalValue(v)
	return bson.RawValue{Type: t, Value: b}, err == nil
}

// Filter is the constraint's conditions as a partialFilterExpression.
func (u *Unique) Filter() bson.D {
	var all bson.D
	for _, w := range u.Where {
		if v, ok := w.value(); ok {
			all = append(all, bson.E{Key: w.Field, Value: v})
			continue
		}
		all = append(all, bson.E{Key: w.Field, Value: bson.D{{Key: "$exists", Value: true}}})
	}
	return all
}

// Lookup is the index of the constraint on _id, whose entries say which item a document has
// where the key is made of other fields, too; -1 where the _id alone says it.
func (p *Plan) Lookup() int {
	return slices.IndexFunc(p.Unique, func(u Unique) bool { return u.Field == "_id" })
}

// lookupProblem is what is wrong with the constraint on _id.
func (p *Plan) lookupProblem(c *codec.Codec) string {
	switch lookup, needed := p.Lookup(), c.NeedsDocument(); {
	case needed && lookup < 0:
		return "a key that is made of other fields than the _id needs a table whose entries say which item a document has: add {field: _id, table: " +
			p.Target.Table + "-ids} under unique"
	case !needed && lookup >= 0:
		return "a constraint on _id is only for a key that is made of other fields, too: this one is of the _id alone, and so is unique; remove the constraint"
	case needed && (len(p.Unique[lookup].Where) > 0 || p.Unique[lookup].Collation != ""):
		return "the constraint on _id must have neither where nor collation: all documents have an entry"
	}
	return ""
}

func (p *Plan) uniqueProblem() (path, what string) {
	if len(p.Unique) > maxUnique {
		return "$.unique", fmt.Sprintf("%d unique fields, allowed are %d: an item changes in one transaction with its values", len(p.Unique), maxUnique)
	}
	tables, constraints := map[string]bool{p.Target.Table: true}, map[string]bool{}
	for i := range p.Unique {
		u, at := &p.Unique[i], fmt.Sprintf("$.unique[%d]", i)
		switch {
		case u.Field != "" && len(u.Fields) > 0:
			return at + ".fields", "a constraint has field or fields; remove one"
		case u.Field == "" && len(u.Fields) < 2:
			return at + ".field", "a constraint needs field, or two or more fields; write one, for instance field: email"
		case constraints[u.Name()]:
			return at + ".field", fmt.Sprintf("unique field %q is there twice; keep one", u.Name())
		case !tableName.MatchString(u.Table):
			return at + ".table", fmt.Sprintf("unique table %q must be 3 to 255 letters, digits, '_', '.' or '-'", u.Table)
		case tables[u.Table]:
			return at + ".table", fmt.Sprintf("table %q is used twice; each constraint needs its own", u.Table)
		case u.Collation != "" && u.Collation != CollationLower:
			return at + ".collation", fmt.Sprintf("collation %q is unknown; use lower, or leave it out", u.Collation)
		}
		if field, what := p.uniqueFieldProblem(u); what != "" {
			return at + "." + field, what
		}
		tables[u.Table], constraints[u.Name()] = true, true
	}
	return "", ""
}

func (p *Plan) uniqueFieldProblem(u *Unique) (path, what string) {
	names := u.Names()
	for i, name := range names {
		if name == "" || name == "_id" && len(names) > 1 || strings.ContainsAny(name, ".+") || slices.Contains(names[:i], name) {
			return "field", fmt.Sprintf("unique field %q must be a top-level field, _id only by itself, and be there once", name)
		}
	}
	for i, w := range u.Where {
		_, ok := w.value()
		switch {
		case w.Field == "" || strings.HasPrefix(w.Field, "$") || strings.Contains(w.Field, ".") ||
			slices.ContainsFunc(u.Where[:i], func(o Where) bool { return o.Field == w.Field }):
			return "where", fmt.Sprintf("the condition on %q must be on a top-level field, and be there once", w.Field)
		case w.Equals != nil && !ok:
			return "where", fmt.Sprintf("the condition on %q must be on a string, a number, or true or false", w.Field)
		}
	}
	for _, name := range u.Reads() {
		if p.hidden(name) {
			return "field", fmt.Sprintf("unique field %q cannot be compressed or dropped", name)
		}
	}
	return "", ""
}

// maxUnique is how many constraints a transaction of DynamoDB, of 100 items at most, has
// room for: the item, and for each constraint the value released and the one claimed.
const maxUnique = 49
