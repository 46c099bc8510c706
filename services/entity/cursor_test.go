package entity_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/services/entity"
)

func value(t testing.TB, v any) bson.RawValue {
	t.Helper()
	kind, b, err := bson.MarshalValue(v)
	if err != nil {
		t.Fatal(err)
	}
	return bson.RawValue{Type: kind, Value: b}
}

// TestCursor: a cursor is read as it was written, however large its ids are.
func TestCursor(t *testing.T) {
	key, err := bson.Marshal(bson.D{{Key: "id", Value: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	full := entity.Cursor{Query: "q", Sort: value(t, 5), ID: value(t, bson.NewObjectID()), Key: key}
	for i := range 100 {
		full.Same = append(full.Same, value(t, fmt.Sprint(i)))
	}
	for _, c := range []entity.Cursor{{}, {ID: value(t, "x")}, {Key: key}, full} {
		got, err := entity.ParseCursor(c.String())
		if err != nil || got.String() != c.String() || got.IsZero() != c.IsZero() || len(got.Same) != len(c.Same) {
			t.Errorf("%+v is read as %+v, %v", c, got, err)
		}
	}
	for i := range full.Same { // as long as a key may be
		full.Same[i] = value(t, fmt.Sprint(strings.Repeat("x", 2000), i))
	}
	got, err := entity.ParseCursor(full.String())
	if err != nil || !got.ID.Equal(full.ID) || len(got.Same) == 0 {
		t.Fatalf("with long ids: %d of %d, %v", len(got.Same), len(full.Same), err)
	}
	if last := len(got.Same) - 1; !got.Same[last].Equal(full.Same[99]) {
		t.Error("with long ids: the last ones are missing")
	}
}

// TestCursorThatWasTamperedWith: what no database can read is refused before it is asked.
func TestCursorThatWasTamperedWith(t *testing.T) {
	good := entity.Cursor{Query: "q", Sort: value(t, 5), ID: value(t, bson.D{{Key: "tenant", Value: "ends here"}})}.String()
	b, err := base64.RawURLEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	b[bytes.Index(b, []byte("ends here"))+len("ends here")] = 1 // where a text ends is a zero
	if c, err := entity.ParseCursor(base64.RawURLEncoding.EncodeToString(b)); !errors.Is(err, entity.ErrCursor) {
		t.Errorf("it is read as %+v, %v", c, err)
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add("")
	f.Add("x")
	f.Add(entity.Cursor{Query: "q", Sort: value(f, "s"), ID: value(f, 1), Same: []bson.RawValue{value(f, 2)}}.String())
	f.Fuzz(func(t *testing.T, text string) {
		c, err := entity.ParseCursor(text)
		if err != nil {
			if !errors.Is(err, entity.ErrCursor) || !c.IsZero() {
				t.Errorf("ParseCursor(%q) = %+v, %v", text, c, err)
			}
			return
		}
		again, err := entity.ParseCursor(c.String())
		if err != nil || again.String() != c.String() {
			t.Errorf("ParseCursor(%q) = %+v, which is read as %+v, %v", text, c, again, err)
		}
	})
}
