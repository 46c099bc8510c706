package archive

import (
	"testing"
)

// CheckLine makes sure that what can be read is written and read as the same.
func CheckLine(t *testing.T, text []byte) {
	p, l, err := parseLine(text)
	if err != nil || p.Sub != 0 || l.Arrived.Year() < 1 || l.Arrived.Year() > 9999 {
		return
	}
	r := Record{Sequence: p.Sequence, Arrived: l.Arrived.UTC(), Events: []Event{{l.Key, l.Data}}}
	p2, l2, err := parseLine(r.appendLines(nil))
	again := Record{Sequence: p2.Sequence, Arrived: l2.Arrived.UTC(), Events: []Event{{l2.Key, l2.Data}}}
	if err != nil || again.Sequence != r.Sequence || !isSame(r, again) {
		t.Fatalf("%q became %q, %v", r.Events, again.Events, err)
	}
}
