package dynamodb

import (
	"slices"
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// The limits of an item, by the service's quotas.
const (
	maxItem    = 400 << 10
	maxHashKey = 2048
	maxSortKey = 1024
)

var emptyWords = map[attribute.Kind]string{attribute.S: "string", attribute.B: "binary"}

// key checks the Key of a request and places it.
func (t *table) key(key attribute.Item) (*entry, error) {
	const mismatch = "The provided key element does not match the schema"
	if len(key) != len(t.keys.names()) {
		return nil, invalid(mismatch)
	}
	for i, name := range t.keys.names() {
		v, ok := key.Get(name)
		if !ok || v.Kind() != t.keys.kind(i) {
			return nil, invalid(mismatch)
		}
		if err := checkKeyValue(name, v, i == 0); err != nil {
			return nil, err
		}
	}
	e, _ := t.keys.place(key)
	return e, nil
}

func (k keys) kind(i int) attribute.Kind {
	if i == 0 {
		return k.hashKind
	}
	return k.sortKind
}

func checkKeyValue(name string, v attribute.Value, hash bool) error {
	if word, ok := emptyWords[v.Kind()]; ok && v.Text() == "" {
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", word, name)
	}
	return checkKeySize(v, hash)
}

func checkKeySize(v attribute.Value, hash bool) error {
	switch {
	case hash && v.Size() > maxHashKey:
		return parameter("Size of hashkey has exceeded the maximum size limit of2048 bytes")
	case !hash && v.Size() > maxSortKey:
		return parameter("Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
	}
	return nil
}

// item checks the Item of a put and places it.
func (t *table) item(it attribute.Item) (*entry, error) {
	if err := checkNames(it); err != nil {
		return nil, err
	}
	for i, name := range t.keys.names() {
		v, ok := it.Get(name)
		if !ok {
			return nil, parameter("Missing the key %s in the item", name)
		}
		if v.Kind() != t.keys.kind(i) {
			return nil, parameter("Type mismatch for key %s expected: %s actual: %s", name, t.keys.kind(i), v.Kind())
		}
		if err := checkKeyValue(name, v, i == 0); err != nil {
			return nil, err
		}
	}
	if it.Size() > maxItem {
		return nil, invalid("Item size has exceeded the maximum allowed size")
	}
	return t.placed(it)
}

// placed is the entry of an item that has its keys.
func (t *table) placed(it attribute.Item) (*entry, error) {
	e, _ := t.keys.place(it)
	e.size = it.Size()
	return e, nil
}

// checkNames refuses empty names, which the service has no place for.
func checkNames(it attribute.Item) error {
	for i := range it {
		if it[i].Name == "" {
			return parameter("Empty attribute name")
		}
	}
	return nil
}

// indexKeys checks that the attributes that are keys of indexes fit them. The caller holds the
// table's lock, since indexes come and go.
func (t *table) indexKeys(it attribute.Item) error {
	for _, ix := range t.indexes {
		for i, name := range ix.keys.names() {
			v, ok := it.Get(name)
			if !ok {
				continue
			}
			if want := ix.keys.kind(i); v.Kind() != want {
				return parameter("Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", name, want, v.Kind(), ix.name)
			}
			if word, ok := emptyWords[v.Kind()]; ok && v.Text() == "" {
				return invalid("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The "+
					"AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %s, IndexKey: %s", word, ix.name, name)
			}
			if err := checkKeySize(v, i == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneOf checks an enumeration parameter; absent is fine.
func oneOf(parameter, value string, allowed ...string) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]",
		value, parameter, strings.Join(allowed, ", "))
}

func (r *request) checkCommon() error {
	if r.capacity == "INDEXES" {
		return notImplemented("ReturnConsumedCapacity INDEXES; TOTAL is")
	}
	if err := oneOf("returnConsumedCapacity", r.capacity, "INDEXES", "TOTAL", "NONE"); err != nil {
		return err
	}
	return oneOf("returnValuesOnConditionCheckFailure", r.returnOnFailed, "ALL_OLD", "NONE")
}

// wholeSeconds reads a time to live; fractions are cut off.
func wholeSeconds(text string) (int64, bool) {
	whole, _, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	return n, err == nil
}
