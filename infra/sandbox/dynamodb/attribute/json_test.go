package attribute_test

import (
	"encoding/json"
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

func read(text string) (attribute.Item, error) {
	var s wire.Scanner
	s.Reset([]byte(text))
	it, err := attribute.ReadItem(&s)
	if err == nil {
		err = s.End()
	}
	return it, err
}

// FuzzReadItem writes what it read and reads that again: nothing may change, whatever came in.
func FuzzReadItem(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":{"S":"x"}}`, `{"b":{"N":"1.50"},"a":{"L":[{"M":{"x":{"NULL":true}}},{"BOOL":false}]}}`,
		`{"a":{"B":"AAEC"}}`, `{"é\u0000\ud83d\ude00":{"S":"\"\\\n"}}`,
		`{"a":{"S":"x","N":"1"}}`, `{"a":{}}`, `{"a":{"S":null}}`, `{"a":{"M":{"a":{"M":{"a":{"M":{}}}}}}}`, `{"a":{"Q":1}}`, `[`, `{"a"`, `{"a":{"S":"\ud83d"}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		it, err := read(text)
		if err != nil {
			return
		}
		encoded := it.AppendJSON(nil)
		if !json.Valid(encoded) {
			t.Fatalf("%q became %q, which is no JSON", text, encoded)
		}
		again, err := read(string(encoded))
		if err != nil {
			t.Fatalf("%q became %q: %v", text, encoded, err)
		}
		if second := string(again.AppendJSON(nil)); second != string(encoded) {
			t.Fatalf("%q became %q and then %q", text, encoded, second)
		}
		if it.Size() < 0 {
			t.Fatalf("%q has a negative size", text)
		}
	})
}
