package diff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A Gate is what must have been seen before a route may be moved on, under a route's
// key "gate": so many comparisons, and no field that differs without an explanation.
type Gate struct {
	// How many whole comparisons there must be, by class of the primary's status, for
	// each of the versions. Default: {2xx: 1000}.
	// Example: {2xx: 5000, 4xx: 50}
	Comparisons map[string]int64 `yaml:"comparisons" json:"comparisons,omitempty"`
	// The client versions that must each have been seen so often. Default: none, all
	// versions count together.
	// Example: ["5.2", "5.3"]
	Versions []string `yaml:"versions" json:"versions,omitempty"`
	// How much time the comparisons must span. Default: 0s.
	// Example: 24h
	Over time.Duration `yaml:"over" json:"over,omitempty"`
	// Another number than before has the comparisons begin anew, as another mapping does: once
	// the upstream was mended, say. Default: 0.
	// Example: 2
	Round int `yaml:"round" json:"round,omitempty"`
}

// A Verdict says whether a gate is open, and what is missing.
type Verdict struct {
	Open bool `json:"open"`
	Gate Gate `json:"gate"` // what was asked for
	// Missing are sentences for the operator; none when the gate is open.
	Missing []string `json:"missing,omitempty"`
	// Unexplained are the fields that differ, are not ignored, and are no noise.
	Unexplained []Field `json:"unexplained,omitempty"`
}

// Verdict judges what the ledger has seen since its last Use of something new.
func (l *Ledger) Verdict(g Gate) Verdict {
	r := l.Report()
	v := Verdict{Gate: g}
	need := g.Comparisons
	if len(need) == 0 {
		need = map[string]int64{"2xx": 1000}
	}
	versions := g.Versions
	if len(versions) == 0 {
		versions = []string{""}
	}
	for _, status := range slices.Sorted(maps.Keys(need)) {
		for _, version := range versions {
			have, of := int64(0), ""
			for _, c := range r.Counts {
				if c.Status == status && (len(g.Versions) == 0 || c.Version == version) {
					have += c.Compared
				}
			}
			if len(g.Versions) > 0 {
				of = " of version " + version
			}
			if have < need[status] {
				v.Missing = append(v.Missing, fmt.Sprintf("%d of %d comparisons with status %s%s", have, need[status], status, of))
			}
		}
	}
	if span := r.Last.Sub(r.Since); span < g.Over {
		v.Missing = append(v.Missing, fmt.Sprintf("the comparisons span %v of %v", span.Round(time.Second), g.Over))
	}
	for _, f := range r.Fields {
		if f.Explained {
			continue
		}
		v.Unexplained = append(v.Unexplained, f)
		v.Missing = append(v.Missing, fmt.Sprintf("%s (%s) differs in %d comparisons: %s against %s; correct it, or ignore it by a rule",
			f.Path, f.Kind, f.Count, cmp.Or(f.A, "nothing"), cmp.Or(f.B, "nothing")))
	}
	v.Open = len(v.Missing) == 0
	return v
}
