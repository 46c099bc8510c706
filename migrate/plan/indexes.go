package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// Index is a global secondary index of the target table.
type Index struct {
	// Name is its name.
	Name string `yaml:"name" jsonschema:"required,pattern=^[A-Za-z0-9_.-]{3\\,255}$"`
	// Key is the field that queries name one value of, and, if there is a second, the one that
	// they compare and sort by. Both are _id, computed attributes, or top-level fields that the
	// plan declares with a type. A document without one of them is not in the index; one with another type there,
	// or with null, does not fit.
	Key []string `yaml:"key" jsonschema:"required,minItems=1,maxItems=2"`
	// Project are the fields that the index holds besides the keys, at most 20. Default: all;
	// [] is none.
	Project []string `yaml:"project"`
}

// Bounds of DynamoDB ("Service, account, and table quotas").
const (
	maxIndexes   = 20
	maxProjected = 20
	maxSortKey   = 1024 // bytes
)

// IndexKey is what DynamoDB wants of an attribute that is a key of an index, where an item
// has it.
type IndexKey struct {
	Kind types.ScalarAttributeType
	Max  int // bytes
}

var indexKinds = map[string]types.ScalarAttributeType{
	codec.TypeString: types.ScalarAttributeTypeS, codec.TypeObjectID: types.ScalarAttributeTypeS, codec.TypeDate: types.ScalarAttributeTypeS,
	codec.TypeUUID: types.ScalarAttributeTypeS, codec.TypeInt32: types.ScalarAttributeTypeN, codec.TypeInt64: types.ScalarAttributeTypeN,
	codec.TypeDouble: types.ScalarAttributeTypeN, codec.TypeDecimal: types.ScalarAttributeTypeN, codec.TypeTimestamp: types.ScalarAttributeTypeN,
	codec.TypeBinary: types.ScalarAttributeTypeB,
}

func (p *Plan) indexProblem() (path, what string) {
	if len(p.Indexes) > maxIndexes {
		return "$.indexes", fmt.Sprintf("%d indexes, allowed are %d", len(p.Indexes), maxIndexes)
	}
	for i, x := range p.Indexes {
		at := fmt.Sprintf("$.indexes[%d]", i)
		switch {
		case !tableName.MatchString(x.Name):
			return at + ".name", fmt.Sprintf("index %q must be 3 to 255 letters, digits, '_', '.' or '-'", x.Name)
		case slices.ContainsFunc(p.Indexes[:i], func(o Index) bool { return o.Name == x.Name }):
			return at + ".name", fmt.Sprintf("index %q is there twice; keep one", x.Name)
		case len(x.Key) < 1 || len(x.Key) > 2 || len(x.Key) == 2 && x.Key[0] == x.Key[1]:
			return at + ".key", fmt.Sprintf("index %q must have one or two different fields as its key", x.Name)
		case len(x.Project) > maxProjected:
			return at + ".project", fmt.Sprintf("index %q projects %d fields, allowed are %d; leave project out for all", x.Name, len(x.Project), maxProjected)
		}
		for _, field := range x.Key {
			if p.indexKind(field) == "" {
				return at + ".key", fmt.Sprintf("index %q needs the type of %q: declare the field under fields as one of string, objectId, date, uuid, int32, "+
					"int64, double, decimal128, timestamp or binary, and not as compressed", x.Name, field)
			}
		}
	}
	return "", ""
}

// indexKind is the kind of a field's attribute as a key of an index, "" if it can be none.
func (p *Plan) indexKind(field string) types.ScalarAttributeType {
	if field == "_id" {
		if len(p.Target.Key.Parts) > 0 || p.Target.Key.Template != "" {
			return ""
		}
		return codec.KeyKind(p.Target.Key.Type)
	}
	if p.computes(field) {
		return types.ScalarAttributeTypeS
	}
	for _, f := range p.Fields {
		if f.From == field && !f.Compressed {
			return indexKinds[f.Type]
		}
	}
	return ""
}

func (p *Plan) computes(attribute string) bool {
	return slices.ContainsFunc(p.Computed, func(c Computed) bool { return c.Attribute == attribute })
}

// attribute is that of a field, or of a computed attribute's name.
func (p *Plan) attribute(field string) string {
	if p.computes(field) {
		return field
	}
	return p.codec.Attribute(field)
}

// IndexKeys are the attributes that are keys of the plan's indexes. It must not be changed.
func (p *Plan) IndexKeys() map[string]IndexKey { return p.indexKeys }

// IndexValue is what an index has for a value of its nth field. It fails for one that no
// document can have there.
func (p *Plan) IndexValue(index, n int, v bson.RawValue) (types.AttributeValue, error) {
	x := p.Indexes[index]
	name := p.attribute(x.Key[n])
	av, _, err := codec.Scalar(v)
	if x.Key[n] == "_id" {
		av, err = p.codec.Key(v)
	}
	want := p.indexKeys[name]
	if err == nil && FitIndexes(codec.Item{name: av}, map[string]IndexKey{name: want}) != nil {
		err = errIndexKey
	}
	if err != nil {
		return nil, fmt.Errorf("the index %s has %s of 1 to %d bytes in %s, and no %s like this: %w", x.Name, want.Kind, want.Max, name, codec.TypeName(v.Type), err)
	}
	return av, nil
}

func (p *Plan) findIndexKeys() map[string]IndexKey {
	keys := map[string]IndexKey{}
	for _, x := range p.Indexes {
		for i, field := range x.Key {
			k := IndexKey{Kind: p.indexKind(field), Max: codec.MaxKeySize}
			if i == 1 {
				k.Max = maxSortKey
			}
			name := p.attribute(field)
			if before, twice := keys[name]; twice {
				k.Max = min(k.Max, before.Max)
			}
			keys[name] = k
		}
	}
	return keys
}

// globalIndexes are the definitions of the plan's indexes.
func (p *Plan) globalIndexes() []types.GlobalSecondaryIndex {
	var all []types.GlobalSecondaryIndex
	for _, x := range p.Indexes {
		keys := make([]string, 0, 2)
		for _, field := range x.Key {
			keys = append(keys, p.attribute(field))
		}
		projection := &types.Projection{ProjectionType: types.ProjectionTypeAll}
		if x.Project != nil {
			projection.ProjectionType = types.ProjectionTypeKeysOnly
		}
		if len(x.Project) > 0 {
			projection.ProjectionType = types.ProjectionTypeInclude
			for _, field := range x.Project {
				projection.NonKeyAttributes = append(projection.NonKeyAttributes, p.attribute(field))
			}
		}
		all = append(all, types.GlobalSecondaryIndex{IndexName: &x.Name, KeySchema: keySchema(keys...), Projection: projection})
	}
	return all
}

// Access is a way to find documents: those with one value of each field of Equal, in the
// order of Sorted or within bounds of its first field.
type Access struct {
	Equal  []string
	Sorted []string
}

// Answers says how the target table answers an access: by which key or index, and what of it
// is left to a filter, which reads and pays for all that it filters out. by is "" where it
// can be answered by a scan only.
func (p *Plan) Answers(a Access) (by string, filtered []string) {
	best := -1
	try := func(name string, partition, sort []string) {
		if !containsAll(a.Equal, partition) {
			return
		}
		used := slices.Clone(partition)
		for _, field := range sort {
			equal := slices.Contains(a.Equal, field)
			if equal || len(a.Sorted) > 0 && a.Sorted[0] == field {
				used = append(used, field)
			}
			if !equal {
				break
			}
		}
		if len(used) > best {
			best, by = len(used), name
			filtered = slices.DeleteFunc(slices.Concat(a.Equal, a.Sorted), func(f string) bool { return slices.Contains(used, f) })
		}
	}
	switch k, made := p.Target.Key.Parts, p.codec.KeyFields(); {
	case len(made) > 0:
		try("the table's key", made[0], slices.Concat(made[1:]...))
		if p.Lookup() >= 0 {
			try("the entry of the _id and the table's key", []string{"_id"}, nil)
		}
	case len(k) > 0:
		try("the table's key", []string{"_id." + k[0].Field}, []string{"_id." + k[1].Field})
		fallthrough
	default:
		try("the table's key", []string{"_id"}, nil)
	}
	for _, x := range p.Indexes {
		try("the index "+x.Name, x.Key[:1], x.Key[1:])
	}
	return by, filtered
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(one string) bool { return !slices.Contains(all, one) })
}

// describeKey writes a key such as "tenant (S), at (S)".
func describeKey(schema []types.KeySchemaElement, kinds map[string]types.ScalarAttributeType) string {
	var parts []string
	for _, k := range schema {
		parts = append(parts, fmt.Sprintf("%s (%s)", *k.AttributeName, kinds[*k.AttributeName]))
	}
	return strings.Join(parts, ", ")
}
