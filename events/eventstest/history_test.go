package eventstest_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/eventstest"
)

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failures []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

// order is what all versions and variants of the event have in common.
type order struct{}

func (order) EventType() string { return "order.placed" }
func (order) EventVersion() int { return 1 }
func (order) Subject() string   { return "" }

type item struct {
	SKU  string `json:"sku"`
	Note string `json:"note,omitempty"`
}

type placed struct {
	order
	Order    string  `json:"order"`
	Customer string  `json:"customer"`
	Cents    int     `json:"cents"`
	Coupon   *string `json:"coupon,omitempty"`
	Items    []item  `json:"items"`
}

func (p placed) PartitionKey() string { return p.Customer }

type optionalMember struct {
	placed
	Gift bool `json:"gift,omitempty"`
}

type requiredMember struct {
	placed
	Gift bool `json:"gift"`
}

type removed struct {
	order
	Order    string  `json:"order"`
	Customer string  `json:"customer"`
	Coupon   *string `json:"coupon,omitempty"`
	Items    []item  `json:"items"`
}

func (p removed) PartitionKey() string { return p.Customer }

type renamed struct {
	removed
	Amount int `json:"amount"`
}

type retyped struct {
	removed
	Cents string `json:"cents"`
}

type nowOptional struct {
	removed
	Cents int `json:"cents,omitempty"`
}

type nowRequired struct {
	placed
	Coupon *string `json:"coupon"`
}

type notNull struct {
	placed
	Coupon string `json:"coupon,omitempty"`
}

type otherKey struct{ placed }

func (p otherKey) PartitionKey() string { return p.Order }

type otherElements struct {
	placed
	Items []struct {
		SKU string `json:"sku"`
	} `json:"items"`
}

type limited struct {
	placed
	Cents int `json:"cents" jsonschema:"maximum=9"`
}

type placedV2 struct{ placed }

func (placedV2) EventVersion() int { return 2 }

func check(t *testing.T, dir string, update bool, types ...events.Type) []string {
	t.Helper()
	r := &recorder{TB: t}
	eventstest.CheckHistory(r, events.MustRegistry(types...), dir, update)
	return r.failures
}

func example() placed {
	return placed{Order: "o", Customer: "c", Cents: 1, Items: []item{{SKU: "s"}}}
}

// without drops the member that the example of removed lacks.
func without() removed { return removed{Order: "o", Customer: "c", Items: []item{{SKU: "s"}}} }

func record(t *testing.T, types ...events.Type) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "events")
	if failures := check(t, dir, true, types...); len(failures) > 0 {
		t.Fatal(failures)
	}
	if failures := check(t, dir, false, types...); len(failures) > 0 {
		t.Fatal(failures)
	}
	return dir
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = string(content)
	}
	return all
}

func TestBreakingChangesAreFound(t *testing.T) {
	for want, now := range map[string]events.Type{
		`member "cents" was removed or renamed`:                     events.Define(without(), "c"),
		`member "amount" is new and required`:                       events.Define(renamed{without(), 1}, "c"),
		`member "cents": its type was "integer" and is "string"`:    events.Define(retyped{without(), "1"}, "c"),
		`member "cents" is no longer required`:                      events.Define(nowOptional{without(), 1}, "c"),
		`member "coupon" is now required`:                           events.Define(nowRequired{placed: example()}, "c"),
		`member "coupon": null was allowed and is refused`:          events.Define(notNull{example(), "x"}, "c"),
		`member "gift" is new and required: old events lack it`:     events.Define(requiredMember{example(), true}, "c"),
		`partition key was member "customer" and is member "order"`: events.Define(otherKey{example()}, "o"),
		`member "items[].note" was removed or renamed`:              events.Define(otherElements{placed: example()}, "c"),
		`member "cents": its maximum was absent and is 9`:           events.Define(limited{example(), 1}, "c"),
	} {
		dir := record(t, events.Define(example(), "c"))
		before := files(t, dir)
		for _, update := range []bool{false, true} {
			failures := strings.Join(check(t, dir, update, now), "\n")
			for _, part := range []string{want, "a breaking change", "EventVersion 2", "DefineOld", "order.placed version 1"} {
				if !strings.Contains(failures, part) {
					t.Errorf("-update %v: %q does not say %q", update, failures, part)
				}
			}
		}
		if !maps.Equal(before, files(t, dir)) {
			t.Errorf("%s: -update has overwritten what a breaking change was found by", want)
		}
	}
}

func TestCompatibleChangesAreRecorded(t *testing.T) {
	dir := record(t, events.Define(example(), "c"))
	now := events.Define(optionalMember{example(), true}, "c")
	before := files(t, dir)
	if failures := check(t, dir, false, now); len(failures) != 1 || !strings.Contains(failures[0], "compatible change") {
		t.Errorf("not recorded yet: %v", failures)
	}
	for _, update := range []bool{true, false} {
		if failures := check(t, dir, update, now); len(failures) > 0 {
			t.Errorf("-update %v: %v", update, failures)
		}
	}
	after := files(t, dir)
	event := filepath.Join(dir, "order.placed", "1.json")
	if before[event] != after[event] || len(before) != 2 || len(after) != 2 {
		t.Errorf("the event that was published is no longer what it was: %v, %v", before, after)
	}
	// And once it is recorded, taking it back is a breaking change.
	if failures := check(t, dir, true, events.Define(example(), "c")); len(failures) != 1 || !strings.Contains(failures[0], `"gift" was removed`) {
		t.Errorf("%v", failures)
	}
}

func TestVersionsAreNeverRemoved(t *testing.T) {
	old := events.DefineOld(example(), "c", func(p placed) (placedV2, error) { return placedV2{p}, nil })
	newest := events.Define(placedV2{example()}, "c")
	dir := record(t, events.Define(example(), "c"))
	if failures := check(t, dir, false, old, newest); len(failures) != 2 || !strings.Contains(failures[0], "not recorded: run the test with -update") {
		t.Errorf("a version that is not recorded: %v", failures)
	}
	if failures := check(t, dir, true, old, newest); len(failures) > 0 || len(files(t, dir)) != 4 {
		t.Errorf("%v, %v", failures, slices.Collect(maps.Keys(files(t, dir))))
	}
	if failures := check(t, dir, false, newest); len(failures) != 1 || !strings.Contains(failures[0], "no longer has that version") {
		t.Errorf("a version that was dropped: %v", failures)
	}
	refuses := events.DefineOld(example(), "c", func(p placed) (placedV2, error) { return placedV2{}, os.ErrInvalid })
	if failures := check(t, dir, false, refuses, newest); len(failures) != 1 || !strings.Contains(failures[0], "can no longer be read") {
		t.Errorf("a lift that fails: %v", failures)
	}
}

// odd has a name that no file should have.
type odd struct{ placed }

func (odd) EventType() string { return "../order/placed & more" }

func TestFilesStayInTheDirectory(t *testing.T) {
	dir := record(t, events.Define(odd{example()}, "c"))
	if all := files(t, dir); len(all) != 2 {
		t.Errorf("%v", all)
	}
	if entries, err := os.ReadDir(filepath.Dir(dir)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// named has the type that a test gives it.
type named struct {
	placed
	name string
}

func (n named) EventType() string { return n.name }

// TestAnyNameOfATypeIsAFile, and other files may lie beside.
func TestAnyNameOfATypeIsAFile(t *testing.T) {
	dir := t.TempDir()
	var types []events.Type
	for _, name := range []string{".", "..", "../up", "a b/ü?*", strings.Repeat("長", 100), strings.Repeat("長", 101)} {
		types = append(types, events.Define(named{example(), name}, "the customer's id"))
	}
	for _, file := range []string{"README.md", ".gitkeep"} {
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, update := range []bool{true, false} {
		if failures := check(t, dir, update, types...); len(failures) > 0 {
			t.Errorf("update %v: %v", update, failures)
		}
	}
	if failures := check(t, dir, false, types[:5]...); len(failures) != 1 || !strings.Contains(failures[0], "no longer has that version") {
		t.Errorf("without the last: %v", failures)
	}
}

// TestDamagedRecordsAreSaid: what is in the place of a recorded event.
func TestDamagedRecordsAreSaid(t *testing.T) {
	typ := events.Define(example(), "c")
	dir := record(t, typ)
	other := files(t, record(t, events.Define(placedV2{example()}, "c")))
	name, event := "", ""
	for path := range files(t, dir) {
		if !strings.Contains(path, "schema") {
			name = path
		}
	}
	for path, content := range other {
		if !strings.Contains(path, "schema") {
			event = content
		}
	}
	for want, content := range map[string]string{"1.json: ": "no event", `1.json is an event "order.placed" version 2`: event} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if failures := strings.Join(check(t, dir, true, typ), "\n"); !strings.Contains(failures, want) {
			t.Errorf("%q does not say %q", failures, want)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
	if failures := check(t, dir, true, typ); len(failures) == 0 {
		t.Error("a directory in the place of an event passes")
	}
}

// TestWhatCannotBeRecordedIsSaid: a place that is no directory.
func TestWhatCannotBeRecordedIsSaid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if failures := check(t, filepath.Join(file, "events"), true, events.Define(example(), "c")); len(failures) < 2 {
		t.Errorf("recorded below a file: %q", failures)
	}
}
