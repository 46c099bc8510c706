package diff

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	maxFields   = 256 // in a Ledger; further ones are counted as one, "(others)"
	maxVersions = 64  // of clients in a Ledger; further ones are counted as one, "(others)"
	others      = "(others)"

	// minNoise is how many noise calls there must be before noise explains anything.
	minNoise = 20
)

// A Comparison is what a Ledger counts.
type Comparison struct {
	At          time.Time
	Fingerprint string // of what was compared, see [Ledger.Use]
	Status      int    // of the primary
	Version     string // of the client, as it says
	Partial     bool   // the bodies were not compared whole
	Differences []Difference
}

// A Ledger counts the comparisons of one route: how many of which status and client
// version, and which fields differed. Its size is bounded whatever is compared. The
// zero value is empty and ready; safe for concurrent use.
type Ledger struct {
	mu          sync.Mutex
	fingerprint string
	since, last time.Time
	counts      map[class]*Count
	noiseCalls  int64
	fields      map[fieldKey]*Field
}

type class struct{ status, version string }

type fieldKey struct {
	path string
	kind Kind
}

// keyOf is a difference's place in a Ledger. What one of two calls lacks may be what
// the other had first: noise knows no Extra.
func keyOf(d Difference) fieldKey {
	if d.Kind == Extra {
		return fieldKey{d.Path, Missing}
	}
	return fieldKey{d.Path, d.Kind}
}

// Count is how many comparisons of one status class and client version there were.
type Count struct {
	Status  string `json:"status"`  // 2xx
	Version string `json:"version"` // as the client says; "" for none
	// Compared were compared whole, Partial only in part; Differing is how many of
	// both had a difference, noise included.
	Compared  int64 `json:"compared"`
	Partial   int64 `json:"partial"`
	Differing int64 `json:"differing"`
}

// A Field is a path that differed in some comparisons, or between two calls of the
// same side.
type Field struct {
	Difference           // the newest, as an example
	Count      int64     `json:"count"` // comparisons
	Noise      int64     `json:"noise"` // noise calls
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	// Explained says that it differs no more often than between two calls of the same
	// side.
	Explained bool `json:"explained"`
}

// A Report is a Ledger as data, whole: Merge takes it back.
type Report struct {
	Fingerprint string `json:"fingerprint"` // of what is compared, as Use was told

	Since      time.Time `json:"since"`
	Last       time.Time `json:"last"`
	NoiseCalls int64     `json:"noiseCalls"`
	Counts     []Count   `json:"counts"`
	// Fields begin with those that are not explained, most frequent first.
	Fields []Field `json:"fields"`
}

// Use empties the ledger when what is compared has changed: the rules, the mapping or
// the side, all of which the fingerprint stands for. What was compared under another one,
// and comes later, is not counted.
func (l *Ledger) Use(fingerprint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fingerprint != fingerprint {
		l.fingerprint, l.since, l.last = fingerprint, time.Time{}, time.Time{}
		l.counts, l.noiseCalls, l.fields = nil, 0, nil
	}
}

// Add counts a comparison. It reports whether a sample of it is worth keeping: of each
// field the first 8 and then ever fewer.
func (l *Ledger) Add(c Comparison) (sample bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Fingerprint != l.fingerprint {
		return false
	}
	l.seenLocked(c.At)
	status := "other"
	if c.Status >= 100 && c.Status < 600 {
		status = strconv.Itoa(c.Status/100) + "xx"
	}
	n := l.classLocked(class{status, cut(shapes(c.Version), 64)})
	if c.Partial {
		n.Partial++
	} else {
		n.Compared++
	}
	if len(c.Differences) > 0 {
		n.Differing++
	}
	l.eachLocked(c.At, c.Differences, func(f *Field, d Difference) {
		f.Difference = d
		f.Count++
		sample = sample || f.Count <= 8 || bits.OnesCount64(uint64(f.Count)) == 1
	})
	return sample
}

// Learn counts a noise call: the comparison of two answers of the same side to the same
// request, of which neither the status nor the version matters.
func (l *Ledger) Learn(c Comparison) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Fingerprint != l.fingerprint {
		return
	}
	l.seenLocked(c.At)
	l.noiseCalls++
	l.eachLocked(c.At, c.Differences, func(f *Field, d Difference) {
		if f.Count == 0 {
			f.Difference = d
		}
		f.Noise++
	})
}

func (l *Ledger) seenLocked(at time.Time) {
	if l.since.IsZero() {
		l.since = at
	}
	l.last = later(l.last, at)
}

func (l *Ledger) classLocked(k class) *Count {
	if l.counts == nil {
		l.counts = map[class]*Count{}
	}
	if l.counts[k] == nil {
		if len(l.counts) >= 6*maxVersions {
			k.version = others
		}
		if l.counts[k] == nil {
			l.counts[k] = &Count{Status: k.status, Version: k.version}
		}
	}
	return l.counts[k]
}

// eachLocked visits the field of each difference, each field once.
func (l *Ledger) eachLocked(at time.Time, differences []Difference, visit func(*Field, Difference)) {
	var done []*Field
	for _, d := range differences {
		f, d := l.fieldLocked(d, at)
		if !slices.Contains(done, f) {
			done = append(done, f)
			f.Last = later(f.Last, at)
			visit(f, d)
		}
	}
}

// fieldLocked returns the field of a difference, and the difference as it stands there.
func (l *Ledger) fieldLocked(d Difference, first time.Time) (*Field, Difference) {
	if l.fields == nil {
		l.fields = map[fieldKey]*Field{}
	}
	k := keyOf(d)
	if l.fields[k] == nil && len(l.fields) >= maxFields {
		k = fieldKey{others, More}
		d.Path, d.Kind = others, More
	}
	if l.fields[k] == nil {
		l.fields[k] = &Field{First: first}
	}
	return l.fields[k], d
}

// Merge adds what a report counts: that of the process before this one, or of another in
// a fleet. It is an error when the report is of something else than this ledger's Use,
// and then nothing is added; a ledger without a Use takes the report's.
func (l *Ledger) Merge(r Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fingerprint != "" && l.fingerprint != r.Fingerprint {
		return fmt.Errorf("merge a report: it is of %q, and this ledger of %q: other rules, another mapping or other sides", r.Fingerprint, l.fingerprint)
	}
	l.fingerprint = r.Fingerprint
	if !r.Since.IsZero() && (l.since.IsZero() || r.Since.Before(l.since)) {
		l.since = r.Since
	}
	l.last = later(l.last, r.Last)
	l.noiseCalls += r.NoiseCalls
	for _, c := range r.Counts {
		n := l.classLocked(class{c.Status, c.Version})
		n.Compared, n.Partial, n.Differing = n.Compared+c.Compared, n.Partial+c.Partial, n.Differing+c.Differing
	}
	for _, g := range r.Fields {
		f, d := l.fieldLocked(g.Difference, g.First)
		if f.Count == 0 || g.Count > 0 && g.Last.After(f.Last) {
			f.Difference = d
		}
		if g.First.Before(f.First) {
			f.First = g.First
		}
		f.Last = later(f.Last, g.Last)
		f.Count, f.Noise = f.Count+g.Count, f.Noise+g.Noise
	}
	return nil
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// Report returns the ledger as it stands.
func (l *Ledger) Report() Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := Report{Fingerprint: l.fingerprint, Since: l.since, Last: l.last, NoiseCalls: l.noiseCalls}
	compared := int64(0)
	for _, c := range l.counts {
		out.Counts = append(out.Counts, *c)
		compared += c.Compared + c.Partial
	}
	slices.SortFunc(out.Counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Version, b.Version))
	})
	for _, f := range l.fields {
		g := *f
		g.Explained = f.Kind != More && isNoise(f.Count, compared, f.Noise, l.noiseCalls)
		out.Fields = append(out.Fields, g)
	}
	slices.SortFunc(out.Fields, func(a, b Field) int {
		if a.Explained != b.Explained {
			if b.Explained {
				return -1
			}
			return 1
		}
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind))
	})
	return out
}

// isNoise reports whether differing in count of compared is what noise in noisy of calls
// would make: the two rates' confidence intervals (Wilson, three standard deviations)
// overlap. A field that sometimes changes between two calls must not hide that it is
// always wrong.
func isNoise(count, compared, noisy, calls int64) bool {
	if count == 0 {
		return true
	}
	if noisy == 0 || calls < minNoise {
		return false
	}
	least, _ := wilson(count, compared)
	_, most := wilson(noisy, calls)
	return least <= most
}

func wilson(k, n int64) (low, high float64) {
	const z = 3
	p, m := float64(k)/float64(n), float64(n)
	mid := p + z*z/(2*m)
	half := z * math.Sqrt(p*(1-p)/m+z*z/(4*m*m))
	return (mid - half) / (1 + z*z/m), (mid + half) / (1 + z*z/m)
}

// A Book is the ledgers of a proxy by route name: they outlive a route file, and with Keep
// the process. The zero
// value is empty and ready; safe for concurrent use.
type Book struct {
	mu      sync.RWMutex
	ledgers map[string]*Ledger
}

// Of returns the ledger of a route, a new one where there was none.
func (b *Book) Of(route string) *Ledger {
	b.mu.RLock()
	l := b.ledgers[route]
	b.mu.RUnlock()
	if l != nil {
		return l
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ledgers == nil {
		b.ledgers = map[string]*Ledger{}
	}
	if b.ledgers[route] == nil {
		b.ledgers[route] = &Ledger{}
	}
	return b.ledgers[route]
}

// Routes returns the names of the routes that have a ledger, sorted.
func (b *Book) Routes() []string {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.Sorted(maps.Keys(b.ledgers))
}
