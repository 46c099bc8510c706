package changestream_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/publishers/changestream"
)

// FuzzParseMapping: whatever the file, there is a mapping that can be used, or
// errors that name a place in it.
func FuzzParseMapping(f *testing.F) {
	f.Add(usersMapping)
	for _, name := range []string{"testdata/users.yaml", "testdata/forms.yaml"} {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(src))
	}
	f.Add("version: 1\ncollections:\n  users:\n    - {on: insert, event: a, when: {equals: {a: &x [*x]}}}\n")
	f.Add("a: !!binary x\n<<: {b: c}\n? [1]\n: 2")
	f.Fuzz(func(t *testing.T, src string) {
		m, err := changestream.ParseMapping("fuzz.yaml", []byte(src))
		if err != nil {
			var place *changestream.FileError
			if !errors.As(err, &place) || place.Line < 1 || place.Col < 1 || strings.Contains(err.Error(), "PANIC") {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("%q is parsed and %v", src, err)
		}
		for _, mapped := range m.Collections {
			_, _ = mapped(changestream.Change{Operation: "insert", Key: bson.Raw("\x05\x00\x00\x00\x00"), Full: bson.Raw("\x05\x00\x00\x00\x00")})
		}
	})
}

// FuzzMap: whatever the documents, what is made of them is JSON, the same each
// time.
func FuzzMap(f *testing.F) {
	var maps []changestream.Func
	for _, name := range []string{"testdata/users.yaml", "testdata/forms.yaml"} {
		src, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		maps = append(maps, parse(f, string(src)).Collections["users"])
		changes, err := os.ReadFile(strings.Replace(name, "yaml", "changes", 1))
		if err != nil {
			f.Fatal(err)
		}
		for _, line := range strings.Split(string(changes), "\n") {
			if strings.HasPrefix(line, "{") {
				c := change(f, line)
				f.Add(c.Operation, []byte(c.Key), []byte(c.Full), []byte(c.Before), []byte(c.Updated), strings.Join(c.Removed, "\n"))
			}
		}
	}
	f.Fuzz(func(t *testing.T, operation string, key, full, before, updated []byte, removed string) {
		c := changestream.Change{
			Operation: operation, Collection: "users", ClusterTime: bson.Timestamp{T: 1, I: 1}, Wall: time.Unix(1, 0),
			Removed: strings.Split(removed, "\n"),
		}
		for _, one := range []struct {
			from []byte
			into *bson.Raw
		}{{key, &c.Key}, {full, &c.Full}, {before, &c.Before}, {updated, &c.Updated}} {
			if len(one.from) == 0 {
				continue
			}
			if *one.into = one.from; one.into.Validate() != nil {
				return // the publisher refuses these before it maps them
			}
		}
		for _, m := range maps {
			made, err := m(c)
			again, errAgain := m(c)
			if len(made) != len(again) || (err == nil) != (errAgain == nil) {
				t.Fatalf("%v %v, then %v %v", made, err, again, errAgain)
			}
			for i, e := range made {
				if !json.Valid(e.Data) || string(e.Data) != string(again[i].Data) {
					t.Fatalf("data %q, then %q", e.Data, again[i].Data)
				}
			}
		}
	})
}
