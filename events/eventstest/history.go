// Package eventstest keeps a company's event types compatible with the events that
// it has published. In a test of the package that has the registry:
//
//	var update = flag.Bool("update", false, "record new versions of events")
//
//	func TestHistory(t *testing.T) {
//		eventstest.CheckHistory(t, shop.Registry(), "testdata/events", *update)
//	}
//
// Run it with -update after a version was added, and commit the files that it wrote.
package eventstest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
)

const schemaSuffix = ".schema.json"

// CheckHistory compares a registry with a directory with two files for each
// version ever published: an event as it was published, <type>/<version>.json, and
// the schema of its data, <type>/<version>.schema.json. Characters of a type that
// a file name should not have are percent-encoded, and a long one is shortened. Files
// that are not .json are left alone.
//
// It fails where an event no longer decodes and lifts to the newest version, where
// the registry has dropped a version, or has one that is not recorded, and where
// the schema of a version has changed; it then says whether the change is breaking
// and what to do.
//
// With update it records versions that are new, from their examples, and schemas
// that changed compatibly. An event that was recorded is never written again.
func CheckHistory(t testing.TB, r *events.Registry, dir string, update bool) {
	t.Helper()
	recorded := map[string]bool{}
	for _, typ := range r.Types() {
		base := filepath.Join(dir, fileName(typ.Name), fmt.Sprint(typ.Version))
		recorded[base] = true
		h := history{typ: typ, base: base, update: update}
		for _, err := range []error{h.checkEvent(r), h.checkSchema()} {
			if err != nil {
				t.Errorf("%s version %d: %v", typ.Name, typ.Version, err)
			}
		}
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		base := strings.TrimSuffix(strings.TrimSuffix(path, ".json"), ".schema")
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".json") && !recorded[base] {
			t.Errorf("%s was published, and the registry no longer has that version: define it again, by DefineOld with a lift "+
				"to its successor, since its events are on the stream, in archives and among dead letters", path)
			recorded[base] = true // once for both files
		}
		return err
	})
	if err != nil {
		t.Errorf("read what is recorded: %v", err)
	}
}

// maxFileName is below the 255 bytes that file systems allow, with the version and the
// suffix.
const maxFileName = 200

func fileName(eventType string) string {
	name := strings.ReplaceAll(url.PathEscape(eventType), "..", "%2E%2E")
	if len(name) > maxFileName {
		name = fmt.Sprintf("%s-%x", name[:maxFileName/2], sha256.Sum256([]byte(eventType)))
	}
	return name
}

type history struct {
	typ    events.Type
	base   string
	update bool
}

var errNotRecorded = errors.New("it is not recorded: run the test with -update and commit what it writes")

func (h history) checkEvent(r *events.Registry) error {
	raw, err := os.ReadFile(h.base + ".json")
	if errors.Is(err, fs.ErrNotExist) {
		if !h.update {
			return errNotRecorded
		}
		raw, err = h.recordEvent()
	}
	if err != nil {
		return err
	}
	e, err := events.Decode(raw)
	if err != nil {
		return fmt.Errorf("%s.json: %w", h.base, err)
	}
	if e.Type != h.typ.Name || e.Version != h.typ.Version {
		return fmt.Errorf("%s.json is an event %q version %d", h.base, e.Type, e.Version)
	}
	if _, err := r.Decode(e); err != nil {
		return fmt.Errorf("%s.json, an event that was published, can no longer be read: leave this version as it was, and publish "+
			"a new version with a lift instead: %w", h.base, err)
	}
	return nil
}

// recordEvent always makes the same event from the same example.
func (h history) recordEvent() ([]byte, error) {
	noon := func() time.Time { return time.Date(2016, 11, 21, 12, 0, 0, 0, time.UTC) }
	factory := events.Factory{Now: noon, Clock: &events.Clock{Now: noon}, NewID: func() (string, error) {
		return fmt.Sprintf("%s.v%d", h.typ.Name, h.typ.Version), nil
	}}
	e, err := factory.New(context.Background(), "/fixture", h.typ.Example)
	if err != nil {
		return nil, fmt.Errorf("make an event of the example: %w", err)
	}
	e.TraceParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" // New has a random one
	raw, err := events.Encode(e)
	if err != nil {
		return nil, err
	}
	return raw, write(h.base+".json", append(slices.Clip(raw), '\n'))
}

func write(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}

func (h history) checkSchema() error {
	file := h.base + schemaSuffix
	now, err := schema.Of(h.typ)
	if err != nil {
		return err
	}
	committed, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && h.update:
		return write(file, now)
	case errors.Is(err, fs.ErrNotExist):
		return errNotRecorded
	case err != nil || bytes.Equal(committed, now):
		return err
	}
	breaking, err := schema.Breaking(committed, now)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", file, err)
	case len(breaking) > 0:
		return fmt.Errorf("a breaking change against %s:\n\t%s\nLeave this version as it was, declare a new Go type with "+
			"EventVersion %d for the new form, and lift this one to it by DefineOld", file, strings.Join(breaking, "\n\t"), h.typ.Version+1)
	case h.update:
		return write(file, now)
	}
	return fmt.Errorf("a compatible change against %s: run the test with -update to record it", file)
}
