package changestream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/publishers/internal/bsonjson"
)

// A condition restricts a rule. One test is not nil.
type condition struct {
	changed []path       // any of them
	exists  []path       // all of them
	missing []path       // none of them
	equals  []comparison // all of them, in the document
	was     []comparison // all of them, in the document before the change
}

// comparison compares a field with a constant, as JSON.
type comparison struct {
	path  path
	value []byte
}

var errNoImage = errors.New("the rule reads the document before the change, and the change has no before-image " +
	"(changeStreamPreAndPostImages was not on when it changed, or the image has expired)")

// matches reports whether d meets the condition. It fails if a needed image is missing.
func (w *condition) matches(d *document) (bool, error) {
	if len(w.changed) > 0 && !anyChanged(w.changed, d.c) {
		return false, nil
	}
	if lacksDocument(d.c) {
		return true, nil // the document is deleted: the rule's gone: decides
	}
	for _, p := range w.exists {
		if _, ok := d.find(p); !ok {
			return false, nil
		}
	}
	for _, p := range w.missing {
		if _, ok := d.find(p); ok {
			return false, nil
		}
	}
	for _, c := range w.equals {
		if v, ok := d.find(c.path); !c.equals(v, ok) {
			return false, nil
		}
	}
	return w.matchedBefore(d.c)
}

func (w *condition) matchedBefore(c *Change) (bool, error) {
	if len(w.was) == 0 {
		return true, nil
	}
	if c.Before == nil {
		return false, errNoImage
	}
	for _, one := range w.was {
		if v, ok := one.path.valueIn(c.Before); !one.equals(v, ok) {
			return false, nil
		}
	}
	return true, nil
}

func anyChanged(paths []path, c *Change) bool {
	for _, p := range paths {
		if p.changedBy(c) {
			return true
		}
	}
	return false
}

// equals compares numbers by value, and everything else in the form in which it is written
// into an event. An absent field equals null.
func (c *comparison) equals(v bson.RawValue, there bool) bool {
	if !there {
		return string(c.value) == "null"
	}
	if number, err := appendNumber(nil, v); err == nil && v.Type != bson.TypeString {
		return sameNumber(string(number), string(c.value))
	}
	text, err := bsonjson.Append(nil, v)
	return err == nil && bytes.Equal(text, c.value)
}

func sameNumber(a, b string) bool {
	if !isNumber(a) || !isNumber(b) || len(a) > maxIntegerDigits || len(b) > maxIntegerDigits {
		return a == b
	}
	x, _, errX := big.ParseFloat(a, 10, 160, big.ToNearestEven)
	y, _, errY := big.ParseFloat(b, 10, 160, big.ToNearestEven)
	return errX == nil && errY == nil && x.Cmp(y) == 0
}

// asJSON writes a constant of a mapping file.
func asJSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%v cannot be written as JSON", v)
	}
	return b, nil
}
