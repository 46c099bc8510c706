package changestream_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/mongostream"
	"github.com/banyan-fig/banyan/publishers/changestream"
)

var update = flag.Bool("update", false, "write the golden files")

// change reads a change written as extended JSON, under the server's names.
func change(t testing.TB, src string) changestream.Change {
	t.Helper()
	var raw struct {
		Name      string `bson:"case"`
		Operation string `bson:"operationType"`
		Key       bson.Raw
		Full      bson.Raw
		Before    bson.Raw
		Updated   bson.Raw
		Removed   []string
		Truncated []mongostream.Truncation
	}
	if err := bson.UnmarshalExtJSON([]byte(src), false, &raw); err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return changestream.Change{Operation: raw.Operation, Database: "legacy", Collection: "users", Key: raw.Key, Full: raw.Full, Before: raw.Before,
		Updated: raw.Updated, Removed: raw.Removed, Truncated: raw.Truncated, ClusterTime: bson.Timestamp{T: 1480000000, I: 7}, Wall: time.Unix(1480000000, 0).UTC()}
}

// TestMappings maps the changes in testdata/*.changes by the mapping file beside
// them, and compares the events with the golden file.
func TestMappings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		base := strings.TrimSuffix(name, ".yaml")
		t.Run(filepath.Base(base), func(t *testing.T) {
			src, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			m, err := changestream.ParseMapping(name, src)
			if err != nil {
				t.Fatal(err)
			}
			changes, err := os.ReadFile(base + ".changes")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, base+".golden", mapAll(t, m, string(changes)))
		})
	}
}

// mapAll writes what becomes of each change, one a line; lines that begin with #
// name it.
func mapAll(t *testing.T, m *changestream.Mapping, changes string) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, line := range strings.Split(changes, "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			fmt.Fprintln(&out, line)
			continue
		case strings.TrimSpace(line) == "":
			continue
		}
		made, err := m.Collections["users"](change(t, line))
		for _, e := range made {
			if !json.Valid(e.Data) {
				t.Errorf("%s: the data is no JSON: %s", line, e.Data)
			}
			if err := social.Registry().Check(e); err != nil {
				fmt.Fprintln(&out, "  refused:", oneLine(err))
				continue
			}
			fmt.Fprintf(&out, "  %s v%d of %s, subject %s, key %s, correlation %q %q %q\n    %s\n", e.Type, e.Version, e.Source, e.Subject, e.PartitionKey,
				e.CorrelationID, e.CausationID, e.TraceParent, e.Data)
		}
		switch {
		case errors.Is(err, changestream.ErrSkip):
			fmt.Fprintln(&out, "  skipped:", oneLine(err))
		case err != nil:
			fmt.Fprintln(&out, "  refused:", oneLine(err))
		case len(made) == 0:
			fmt.Fprintln(&out, "  ignored")
		}
	}
	return out.Bytes()
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", " | ") }

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (run with -update if this is right): %s", name, diff)
	}
}

func TestMappingFileErrorsNameThePlace(t *testing.T) {
	const head = "version: 1\ncollections:\n  users:\n"
	for src, want := range map[string]string{
		"":                            `1:1: expected one YAML document`,
		"version: 2\ncollections: {}": `1:10: version must be 1`,
		"collections: {users: [{on: insert, event: a}]}": `1:1: version is missing`,
		"version: 1": `1:1: collections is missing`,
		"version: 1\nrules: []": `2:1: the file has no "rules"; ` +
			`it has version, source, collections`,
		"version: 1\nversion: 1":       `2:1: `,
		"version: 1\nsource: \"::\"\n": `2:9: source "::" is not a URI-reference`,
		head + "    - on: insert\n":    `4:7: the rule lacks event`,
		head + "    - event: a\n":      `4:7: the rule lacks on`,
		head + "    - on: upsert\n": `4:11: on cannot be "upsert"; ` +
			`it is one of insert, update, replace, delete, snapshot`,
		head + "    - {on: insert, event: a, evnt: b}\n":                                `evnt`,
		head + "    - {on: insert, event: a, version: 0}\n":                             `4:39: version must be a whole number from 1`,
		head + "    - {on: insert, event: a, version: 1.5}\n":                           `4:39: version must be a whole number from 1`,
		head + "    - {on: insert, event: a, key: users}\n":                             `key has no field in it`,
		head + "    - {on: insert, event: a, subject: \"user/{_id\"}\n":                 `subject: not a template: a { without its }`,
		head + "    - {on: insert, event: a, subject: \"user/_id}\"}\n":                 `subject: not a template: a } without its {`,
		head + "    - {on: insert, event: a, subject: \"{a..b}\"}\n":                    `"a..b" is not a path`,
		head + "    - on: insert\n      event: a\n      data:\n        x: {as: text}\n": `7:9: x needs either a field or a value`,
		head + "    - on: insert\n      event: a\n      data:\n        x: {field: a, as: date}\n": `7:27: as cannot be "date"; ` +
			`it is one of text, number, integer, bool, time`,
		head + "    - on: insert\n      event: a\n      data:\n        x: {field: a, default: 1, missing: null}\n": `x has a default, so it cannot be missing`,
		head + "    - on: insert\n      event: a\n      data:\n        x: {value: 1, as: text}\n":                  `x has a value, which is always the same`,
		head + "    - on: insert\n      event: a\n      data:\n        x: [a]\n":                                   `the field of x must be a text`,
		head + "    - on: insert\n      event: a\n      data: [x]\n":                                               `data must be a mapping`,
		head + "    - on: insert\n      event: a\n      when: {changes: x}\n":                                      `a condition has no "changes"`,
		head + "    - on: insert\n      event: a\n      when: {equals: {a: &x 1}}\n":                               `anchors`,
		head + "    - on: insert\n      event: a\n      missing: omit\n":                                           `missing cannot be "omit"`,
		head + "    - plain text\n": `4:7: a rule must be a mapping`,
		head:                        `a rule must be a mapping`,
		"version: 1\ncollections:\n  system.users: [{on: insert, event: a}]\n": `3:3: "system.users" is not a name`,
		"a: [":                           `1:`,
		strings.Repeat("# x\n", 300_000): `more than the 1048576 allowed`,
	} {
		_, err := changestream.ParseMapping("m.yaml", []byte(src))
		var place *changestream.FileError
		if err == nil || !strings.Contains(err.Error(), want) || !errors.As(err, &place) || !strings.HasPrefix(err.Error(), "m.yaml:") {
			t.Errorf("%.120q: error %v, want one that says %q", src, err, want)
		}
	}
	two := head + "    - on: upsert\n      event: a\n      evnt: b\n"
	if _, err := changestream.ParseMapping("m.yaml", []byte(two)); err == nil || strings.Count(err.Error(), "m.yaml:") != 2 {
		t.Errorf("two mistakes, told as %v", err)
	}
}

func TestSnapshotsAreThoseOfRulesForThem(t *testing.T) {
	m := parse(t, "version: 1\ncollections:\n  a: [{on: [insert, snapshot], event: a}]\n  b: [{on: insert, event: b}]\n")
	if !slices.Equal(m.Snapshots, []string{"a"}) {
		t.Error(m.Snapshots)
	}
}
