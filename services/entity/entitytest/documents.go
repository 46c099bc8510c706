package entitytest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// documents makes documents from what a plan says of them.
func documents(p *plan.Plan) func(n int) bson.D {
	types := map[string]string{}
	var names []string // of fields, or paths of them, in the order of the plan
	note := func(name, kind string) {
		if _, there := types[name]; !there && name != "" && name != "_id" {
			names = append(names, name)
		}
		if types[name] == "" {
			types[name] = kind
		}
	}
	for _, f := range p.Fields {
		note(f.From, f.Type)
	}
	for _, paths := range p.Codec().KeyFields() {
		for _, path := range paths {
			note(path, "")
		}
	}
	equal := map[string]any{}
	for _, u := range p.Unique {
		for _, name := range u.Names() {
			note(name, "")
		}
		for _, w := range u.Where {
			note(w.Field, "")
			if w.Equals != nil {
				equal[w.Field] = w.Equals
			}
		}
	}
	if p.TTL != nil {
		note(p.TTL.Field, codec.TypeDate)
	}
	return func(n int) bson.D {
		doc := bson.D{{Key: "_id", Value: idOf(p.Target.Key, n)}}
		for _, name := range names {
			v, fixed := equal[name]
			switch {
			case name == p.VersionField:
				continue
			case p.TTL != nil && name == p.TTL.Field:
				v = time.UnixMilli(4e12).UTC()
			case !fixed:
				v = valueOf(types[name], name, n)
			}
			doc = put(doc, strings.Split(name, "."), v)
		}
		return doc
	}
}

// put sets the value at a path in a document.
func put(doc bson.D, path []string, v any) bson.D {
	i := slices.IndexFunc(doc, func(e bson.E) bool { return e.Key == path[0] })
	if i < 0 {
		i, doc = len(doc), append(doc, bson.E{Key: path[0]})
	}
	if len(path) > 1 {
		inner, _ := doc[i].Value.(bson.D)
		v = put(inner, path[1:], v)
	}
	doc[i].Value = v
	return doc
}

func idOf(key plan.Key, n int) any {
	if key.Type != codec.TypeDocument {
		return valueOf(key.Type, "id", n)
	}
	var id bson.D
	for _, part := range key.Parts {
		if part.Field != "" {
			id = append(id, bson.E{Key: part.Field, Value: valueOf(part.Type, part.Field, n)})
		}
	}
	if id == nil {
		id = bson.D{{Key: "n", Value: int32(n)}}
	}
	return id
}

// valueOf is a value of a type of the plan's: another one for each number, in their order.
func valueOf(kind, name string, n int) any {
	switch kind {
	case codec.TypeObjectID:
		return bson.ObjectID{0: 0x65, 8: byte(n >> 24), 9: byte(n >> 16), 10: byte(n >> 8), 11: byte(n)}
	case codec.TypeInt32:
		return int32(n)
	case codec.TypeInt64, "number":
		return int64(n)
	case codec.TypeDouble:
		return float64(n) + 0.5
	case codec.TypeDecimal:
		return bson.NewDecimal128(0x3040000000000000, uint64(n))
	case codec.TypeDate:
		return time.UnixMilli(1.7e12 + int64(n)*1000).UTC()
	case codec.TypeUUID:
		return bson.Binary{Subtype: bson.TypeBinaryUUID, Data: []byte(fmt.Sprintf("%016d", n))}
	case codec.TypeBinary:
		return bson.Binary{Data: []byte(fmt.Sprintf("%016d", n))}
	case codec.TypeTimestamp:
		return bson.Timestamp{T: uint32(n) + 1}
	case codec.TypeBool:
		return true
	case codec.TypeDocument:
		return bson.D{{Key: "of", Value: name}, {Key: "n", Value: int32(n)}}
	case codec.TypeArray:
		return bson.A{name, int32(n)}
	}
	return fmt.Sprintf("%s-%08d", strings.ToLower(name), n)
}
