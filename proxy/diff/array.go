package diff

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
)

// arrays compares two arrays: by position, or as a rule says.
func (w *walk) arrays(at *place, a, b []any, active []cursor, e effect, depth int) {
	at = &place{up: at, item: true}
	below := step(active, "", true)
	if here(below).ignore {
		return
	}
	pair := func(a, b any) { w.values(at, a, b, below, depth+1) }
	if e.unordered {
		a, b = w.unordered(a, b, e.key, below, depth+1, pair)
	} else if len(a) != len(b) {
		a, b = w.trimEqual(a, b, below, depth+1)
	}
	both := min(len(a), len(b))
	if e.unordered && e.key != "" {
		both = 0 // items with different keys are no pair
	}
	for i := range both {
		pair(a[i], b[i])
	}
	for _, v := range a[both:] {
		w.differ(at, Missing, v, nil)
	}
	for _, v := range b[both:] {
		w.differ(at, Extra, nil, v)
	}
}

// trimEqual leaves out what two arrays of different lengths have in common at their
// beginning and end, so that one item put in front does not make all others differ.
func (w *walk) trimEqual(a, b []any, active []cursor, depth int) (_, _ []any) {
	equal := func(x, y any) bool {
		return bytes.Equal(w.canonical(x, active, depth), w.canonical(y, active, depth))
	}
	for len(a) > 0 && len(b) > 0 && equal(a[0], b[0]) {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && equal(a[len(a)-1], b[len(b)-1]) {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return a, b
}

// unordered pairs the items with the same key and returns those without a partner, in
// the order of their keys. Without the name of a key, an item is its own.
func (w *walk) unordered(a, b []any, key string, active []cursor, depth int, pair func(a, b any)) (restA, restB []any) {
	itemsKey := func(item any) []byte {
		if o, ok := item.(map[string]any); ok && key != "" {
			return w.canonical(o[key], nil, depth)
		}
		return w.canonical(item, active, depth)
	}
	left, right := sorted(a, itemsKey), sorted(b, itemsKey)
	if w.stopped {
		return nil, nil
	}
	for len(left) > 0 && len(right) > 0 {
		switch c := bytes.Compare(left[0].key, right[0].key); {
		case c == 0:
			pair(left[0].item, right[0].item)
			left, right = left[1:], right[1:]
		case c < 0:
			restA, left = append(restA, left[0].item), left[1:]
		default:
			restB, right = append(restB, right[0].item), right[1:]
		}
	}
	for _, k := range left {
		restA = append(restA, k.item)
	}
	for _, k := range right {
		restB = append(restB, k.item)
	}
	return restA, restB
}

type keyed struct {
	key  []byte
	item any
}

func sorted(items []any, key func(any) []byte) []keyed {
	out := make([]keyed, len(items))
	for i, item := range items {
		out[i] = keyed{key(item), item}
	}
	slices.SortStableFunc(out, func(x, y keyed) int { return bytes.Compare(x.key, y.key) })
	return out
}

// appendCanonical writes a value so that equal values are equal bytes: members sorted,
// numbers normal, without what the rules ignore, unordered arrays sorted.
func appendCanonical(dst []byte, v any, active []cursor, depth int) []byte {
	if depth >= maxDepth {
		active = nil
	}
	e := here(active)
	if e.ignore {
		return dst
	}
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for _, name := range slices.Sorted(maps.Keys(v)) {
			below := step(active, name, false)
			if f := here(below); f.ignore || f.nullIsAbsent && v[name] == nil {
				continue
			}
			dst = append(strconv.AppendQuote(dst, name), ':')
			dst = append(appendCanonical(dst, v[name], below, depth+1), ',')
		}
		return append(dst, '}')
	case []any:
		below := step(active, "", true)
		dst = append(dst, '[')
		if e.unordered {
			for _, k := range sorted(v, func(item any) []byte { return appendCanonical(nil, item, below, depth+1) }) {
				dst = append(append(dst, k.key...), ',')
			}
			return append(dst, ']')
		}
		for _, item := range v {
			dst = append(appendCanonical(dst, item, below, depth+1), ',')
		}
		return append(dst, ']')
	case json.Number:
		return append(dst, normalNumber(string(v))...)
	case string:
		return strconv.AppendQuote(dst, v)
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return append(dst, "null"...)
}
