package mongodb

import (
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/failure"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/store"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

const expectedUUID = "collectionUUID"

// checkFields looks at the fields that mean the same in all commands.
func (r *request) checkFields(t trait) error {
	open := !value.Missing(r.field("autocommit")) // a transaction
	level, _ := value.Field(r.document("readConcern"), "level").StringValueOK()
	switch {
	case !value.Missing(r.field(expectedUUID)) && !t.has(byUUID):
		return failure.New(failure.IDLUnknownField, "BSON field '%s.%s' is an unknown field.", r.name, expectedUUID)
	case open && r.name == "createIndexes":
		return failure.Unsupported("createIndexes in a transaction")
	case open && !t.has(inTxn):
		return failure.New(failure.OperationNotSupportedInTxn, "Cannot run '%s' in a multi-document transaction.", r.name)
	case !open && !t.has(asOf) && (level == "snapshot" || t.has(durable) && level != "" && level != "local"):
		return failure.New(failure.InvalidOptions, "Command %s does not support { readConcern: { level: \"%s\" } }", r.name, level)
	}
	for _, v := range []V{r.field("batchSize"), value.Field(r.document("cursor"), "batchSize")} {
		if n, ok := value.Integer(v); ok && n < 0 {
			return failure.New(failure.Code(51024), "BSON field 'batchSize' value must be >= 0, actual value '%d'", n)
		}
	}
	return r.checkWriteConcern(t, open)
}

// maxNodes is how many members a replica set may have.
const maxNodes = 50

func (r *request) checkWriteConcern(t trait, open bool) error {
	wc, given := r.field("writeConcern").DocumentOK()
	ending := r.name == "commitTransaction" || r.name == "abortTransaction"
	n, number := value.Integer(value.Field(wc, "w"))
	switch {
	case !given:
	case !t.has(durable), open && !ending:
		return failure.New(failure.InvalidOptions, "Command %s does not support writeConcern", r.name)
	case number && (n < 0 || n > maxNodes):
		return failure.New(failure.FailedToParse, "w has to be a non-negative number and not greater than %d; found: %d", maxNodes, n)
	}
	return nil
}

// unsatisfied says what a write concern asks for that a set of one member cannot
// give. The command is carried out all the same.
func (r *request) unsatisfied() *failure.Error {
	w := value.Field(r.document("writeConcern"), "w")
	if n, _ := value.Integer(w); n > 1 {
		return failure.New(failure.UnsatisfiableWriteConcern, "Not enough data-bearing nodes")
	}
	if mode, ok := w.StringValueOK(); ok && mode != "majority" {
		return failure.New(failure.UnknownReplWriteConcern, "No write concern mode named '%s' found in replica set configuration", mode)
	}
	return nil
}

// expected fails unless the collection of a name has the UUID in a field of the
// command, if that is there. The caller holds a lock on the name.
func (r *request) expected(ns store.Namespace, field string) error {
	v := r.field(field)
	if value.Missing(v) {
		return nil
	}
	subtype, id, ok := v.BinaryOK()
	if !ok || subtype != bson.TypeBinaryUUID || len(id) != 16 {
		return failure.New(failure.TypeMismatch, "BSON field '%s.%s' is the wrong type, expected type 'UUID'", r.name, field)
	}
	return r.engine.Expect(ns, [16]byte(id))
}
