package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"time"
)

// manifest lists the objects of a day and a shard that no manifest before it lists.
type manifest struct {
	Day   string `json:"day"`
	Shard string `json:"shard"`
	// PreviousDay is the last one before that the shard had a manifest of, so that one that
	// is missing is found.
	PreviousDay string         `json:"previousDay,omitempty"`
	Records     int            `json:"records"`
	Events      int            `json:"events"`
	First       string         `json:"first"` // positions
	Last        string         `json:"last"`
	Objects     []manifestLine `json:"objects"`

	number int
}

// manifestLine is one object. Its SHA-256 is in its name.
type manifestLine struct {
	Name    string `json:"name"`
	Bytes   int    `json:"bytes"`
	Records int    `json:"records"`
	Events  int    `json:"events"`
	First   string `json:"first"`
	Last    string `json:"last"`
}

var manifestName = regexp.MustCompile(`/(\d{4})-([0-9a-f]{64})\.json$`)

const maxManifests = 9999 // of a day and shard

// readManifests reads those of a day and shard, in order. The error is [ErrCorrupt] where one
// is altered or missing.
func readManifests(ctx context.Context, store Store, day, shard string) ([]manifest, error) {
	var all []manifest
	for name, err := range store.List(ctx, partition(manifestsFolder, day, shard), "") {
		if err != nil {
			return nil, err
		}
		m := manifestName.FindStringSubmatch(name)
		if m == nil {
			return nil, fmt.Errorf("%s is not the name of a manifest: move it out of the archive", name)
		}
		data, err := store.Get(ctx, name)
		if err != nil {
			return nil, err
		}
		if digest(data) != m[2] {
			return nil, corrupt(name, errors.New("its SHA-256 is another"))
		}
		one := manifest{}
		if err := json.Unmarshal(data, &one); err != nil || one.Day != day || one.Shard != shard {
			return nil, corrupt(name, fmt.Errorf("it is not of %s and %s: %w", day, shard, err))
		}
		if _, err := fmt.Sscanf(m[1], "%04d", &one.number); err != nil || one.number > len(all)+1 {
			return nil, corrupt(name, fmt.Errorf("manifest %d, which came before it, is missing", len(all)+1))
		}
		all = append(all, one)
	}
	return all, nil
}

// Seal writes manifests of the days that are over at now: what is listed there is missed by
// [Verify] from then on. Objects that come to a day later are listed by the next Seal. Each
// object is read; one that is corrupt is an error, and its day and shard are not sealed. done is
// called for each manifest that was written, with its name and how many objects it lists.
//
// One process seals at a time: of two, both write a manifest with the same objects, which
// does no harm.
func Seal(ctx context.Context, store Store, now time.Time, done func(name string, objects int)) error {
	all, err := days(ctx, store, eventsFolder, Range{})
	if err != nil {
		return err
	}
	today := now.UTC().Format(dayFormat)
	sealed, err := days(ctx, store, manifestsFolder, Range{})
	if err != nil {
		return err
	}
	previous := map[string]string{} // day by shard
	for _, d := range all {
		if d.day >= today {
			break
		}
		for _, shard := range d.shards {
			last := previous[shard]
			for _, s := range sealed {
				if s.day < d.day && s.day > last && slices.Contains(s.shards, shard) {
					last = s.day
				}
			}
			if err := sealPartition(ctx, store, manifest{Day: d.day, Shard: shard, PreviousDay: last}, done); err != nil {
				return err
			}
			previous[shard] = d.day
		}
	}
	return nil
}

func sealPartition(ctx context.Context, store Store, m manifest, done func(string, int)) error {
	before, err := readManifests(ctx, store, m.Day, m.Shard)
	if err != nil {
		return err
	}
	listed := linesOf(before)
	for name, err := range store.List(ctx, partition(eventsFolder, m.Day, m.Shard), "") {
		if err != nil {
			return err
		}
		if _, ok := listed[name]; ok {
			continue
		}
		line, err := inspect(ctx, store, name)
		if err != nil {
			return err
		}
		m.add(line)
	}
	if len(m.Objects) == 0 {
		return nil
	}
	if len(before) > 0 {
		m.number = before[len(before)-1].number
	}
	if m.number++; m.number > maxManifests {
		return fmt.Errorf("seal %s of %s: it has %d manifests", m.Shard, m.Day, maxManifests)
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	name := partition(manifestsFolder, m.Day, m.Shard) + fmt.Sprintf("%04d-%s.json", m.number, digest(data))
	if err := store.Put(ctx, name, data); err != nil {
		return err
	}
	done(name, len(m.Objects))
	return nil
}

func (m *manifest) add(l manifestLine) {
	if len(m.Objects) == 0 || l.First < m.First {
		m.First = l.First
	}
	m.Last = max(m.Last, l.Last)
	m.Records += l.Records
	m.Events += l.Events
	m.Objects = append(m.Objects, l)
}

func linesOf(manifests []manifest) map[string]manifestLine {
	lines := map[string]manifestLine{}
	for _, m := range manifests {
		for _, l := range m.Objects {
			lines[l.Name] = l
		}
	}
	return lines
}

// inspect reads an object to its end.
func inspect(ctx context.Context, store Store, name string) (manifestLine, error) {
	c, err := openObject(ctx, store, name)
	if err != nil {
		return manifestLine{}, err
	}
	l := manifestLine{Name: name, Bytes: c.bytes}
	for r, err := range All(ctx, c) {
		if err != nil {
			return l, err
		}
		if r.Arrived.Format(dayFormat) != c.object.day {
			return l, corrupt(name, fmt.Errorf("record %s is of %s", r.Sequence, r.Arrived.Format(dayFormat)))
		}
		if l.Records == 0 {
			l.First = r.Position(0).String()
		}
		l.Last = r.Position(len(r.Events) - 1).String()
		l.Records++
		l.Events += len(r.Events)
	}
	return l, nil
}

// manifestFolder is for messages.
func manifestFolder(day, shard string) string {
	return path.Clean(partition(manifestsFolder, day, shard))
}
