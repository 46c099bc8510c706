package query

import (
	"strconv"

	"go.mongodb.org/mongo-driver/v2/x/bsonx/bsoncore"

	"github.com/banyan-fig/banyan/infra/sandbox/mongodb/value"
)

func index(i int) string { return strconv.Itoa(i) }

// Diff describes how one document became another, as MongoDB does for updates
// by a pipeline: embedded documents and arrays are compared inside, and an array
// that only lost its end is truncated. Field order alone is no difference.
func Diff(before, after D) *Description {
	d := &differ{}
	d.start, d.updated = bsoncore.AppendDocumentStart(nil)
	d.documents("", before, after)
	out := &Description{Removed: d.removed, Truncated: d.truncated}
	out.Updated, _ = bsoncore.AppendDocumentEnd(d.updated, d.start)
	return out
}

type differ struct {
	start     int32
	updated   []byte
	removed   []string
	truncated []byte
	cuts      int
}

func (d *differ) documents(prefix string, before, after D) {
	it := value.Elements(after)
	for it.Next() {
		d.values(prefix+string(it.Key), value.Field(before, string(it.Key)), it.Value)
	}
	it = value.Elements(before)
	for it.Next() {
		if value.Missing(value.Field(after, string(it.Key))) {
			d.removed = append(d.removed, prefix+string(it.Key))
		}
	}
}

func (d *differ) values(path string, before, after V) {
	switch {
	case value.Identical(before, after):
	case before.Type != after.Type:
		d.set(path, after)
	case after.Type == bsoncore.TypeEmbeddedDocument:
		d.documents(path+".", before.Data, after.Data)
	case after.Type == bsoncore.TypeArray:
		d.arrays(path, before, after)
	default:
		d.set(path, after)
	}
}

func (d *differ) set(path string, v V) {
	d.updated = bsoncore.AppendValueElement(d.updated, path, v)
}

func (d *differ) arrays(path string, before, after V) {
	old, now := items(before), items(after)
	for i, v := range now {
		if i < len(old) {
			d.values(path+"."+index(i), old[i], v)
		} else {
			d.set(path+"."+index(i), v)
		}
	}
	if len(now) < len(old) {
		cut := bsoncore.BuildDocument(nil,
			bsoncore.AppendStringElement(nil, "field", path),
			bsoncore.AppendInt32Element(nil, "newSize", int32(len(now))))
		d.truncated = bsoncore.AppendDocumentElement(d.truncated, index(d.cuts), cut)
		d.cuts++
	}
}
