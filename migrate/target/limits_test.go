package target_test

import (
	"errors"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/side"
)

func chain(names ...string) any {
	var value any = bson.D{{Key: "d", Value: 1.5e300}, {Key: "z", Value: 2.0}} // 2.0 needs a hint
	for _, name := range names {
		value = bson.D{{Key: name, Value: value}}
	}
	return value
}

// TestLimits: what the codec accepts the table takes, and what it would not take the codec
// refuses, naming document and field.
func TestLimits(t *testing.T) {
	w := newWorld(t)
	name := func(n int) string { return strings.Repeat("n", n) }
	deep := func(n int) any { return chain(strings.Split(strings.Repeat("d", n-1), "")...) }
	huge, err := bson.ParseDecimal128("9.9E+6000")
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		field string
		value any
		want  error // nil where it fits
	}{
		"hint path":           {"v", chain(name(40_000), name(25_000)), nil},
		"hint path too long":  {"v", chain(name(40_000), name(26_000)), codec.ErrNameSize},
		"hint path of array":  {"v", chain(name(65_000), name(529)), nil},
		"escapes in the path": {"v", chain(strings.Repeat("/", 33_000)), codec.ErrNameSize},
		"name":                {name(65_000), "x", nil},
		"longest name":        {name(65_535), "x", nil},
		"name too long":       {name(65_536), "x", nil}, // stored whole
		"nested name":         {"v", bson.D{{Key: name(65_535), Value: "x"}}, nil},
		"nesting":             {"v", deep(31), nil},
		"nesting too deep":    {"v", deep(32), codec.ErrTooDeep},
		"size":                {"v", name(400<<10 - 200), nil},
		"size too large":      {"v", name(400<<10 - 100), codec.ErrTooLarge},
		"hints too large":     {"v", repeated(2.0, "x", 40_000), codec.ErrTooLarge},
		"empty":               {"v", bson.D{{Key: "s", Value: ""}, {Key: "b", Value: []byte{}}, {Key: "a", Value: bson.A{}}, {Key: "", Value: bson.D{}}}, nil},
		"numbers":             {"v", bson.A{1e125, -1e-130, 1e308, 5e-324, huge, bson.MinKey{}}, nil},
		"unique value":        {"email", name(2048 - len("email#")), nil},
		"unique too long":     {"email", name(2049 - len("email#")), codec.ErrKeySize},
		"unique of no kind":   {"email", bson.A{"x"}, codec.ErrKeyType},
	} {
		t.Run(what, func(t *testing.T) {
			doc, err := bson.Marshal(bson.D{{Key: "_id", Value: "one"}, {Key: c.field, Value: c.value}})
			if err != nil {
				t.Fatal(err)
			}
			err = w.Apply(t.Context(), side.Version{ID: bson.Raw(doc).Lookup("_id"), Doc: doc, At: 7})
			if c.want == nil {
				if err != nil {
					t.Fatalf("%.300v", err)
				}
				w.empty()
				return
			}
			var fit *codec.FitError
			if !errors.Is(err, c.want) || !errors.As(err, &fit) || !strings.Contains(fit.ID, "one") || fit.Field == "" || len(err.Error()) > 800 {
				t.Errorf("%.900v, want %v with document and field", err, c.want)
			}
		})
	}
}

// repeated is an array that alternates two values, so that every second element needs a
// hint of its own.
func repeated(a, b any, n int) bson.A {
	all := make(bson.A, n)
	for i := range all {
		if all[i] = a; i%2 == 1 {
			all[i] = b
		}
	}
	return all
}
