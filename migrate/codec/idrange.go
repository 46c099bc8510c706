package codec

import (
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// brackets are the types in the order in which MongoDB sorts them, by their aliases for
// $type. Types of one bracket are compared by value ("Comparison/Sort Order").
var brackets = [][]string{{"minKey"}, {"undefined"}, {"null"}, {"number"}, {"string", "symbol"}, {"object"}, {"array"}, {"binData"},
	{"objectId"}, {"bool"}, {"date"}, {"timestamp"}, {"regex"}, {"dbPointer"}, {"javascript"}, {"javascriptWithScope"}, {"maxKey"}}

var bracketOf = map[bson.Type]string{bson.TypeMinKey: "minKey", bson.TypeUndefined: "undefined", bson.TypeNull: "null",
	bson.TypeInt32: "number", bson.TypeInt64: "number", bson.TypeDouble: "number", bson.TypeDecimal128: "number",
	bson.TypeString: "string", bson.TypeSymbol: "string", bson.TypeEmbeddedDocument: "object", bson.TypeArray: "array",
	bson.TypeBinary: "binData", bson.TypeObjectID: "objectId", bson.TypeBoolean: "bool", bson.TypeDateTime: "date",
	bson.TypeTimestamp: "timestamp", bson.TypeRegex: "regex", bson.TypeDBPointer: "dbPointer", bson.TypeJavaScript: "javascript",
	bson.TypeCodeWithScope: "javascriptWithScope", bson.TypeMaxKey: "maxKey"}

func bracket(id bson.RawValue) int {
	return slices.IndexFunc(brackets, func(b []string) bool { return b[0] == bracketOf[id.Type] })
}

// IDRange selects the identifiers behind one and up to another, in the order over all
// types; either may be zero for no bound. MongoDB's own comparisons skip every other type than that of their operand.
func IDRange(after, upTo bson.RawValue) bson.D {
	from, to := -1, len(brackets)
	if !after.IsZero() {
		from = bracket(after)
	}
	if !upTo.IsZero() {
		to = bracket(upTo)
	}
	compare := func(operator string, id bson.RawValue) bson.D { return bson.D{{Key: operator, Value: id}} }
	where := func(condition bson.D) bson.D { return bson.D{{Key: "_id", Value: condition}} }
	switch {
	case after.IsZero() && upTo.IsZero():
		return bson.D{}
	case from == to:
		return where(append(compare("$gt", after), compare("$lte", upTo)...))
	}
	var parts bson.A
	if !after.IsZero() {
		parts = append(parts, where(compare("$gt", after)))
	}
	if between := slices.Concat(brackets[from+1 : to]...); len(between) > 0 {
		parts = append(parts, where(bson.D{{Key: "$type", Value: between}}))
	}
	if !upTo.IsZero() {
		parts = append(parts, where(compare("$lte", upTo)))
	}
	return bson.D{{Key: "$or", Value: parts}}
}
