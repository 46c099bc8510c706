// Package matrix thins the cases of a test out where they are too many for the race detector,
// under which all takes ten times as long. What is thinned is run whole without it, by
// `make simulate`.
//
//	drawn := matrix.Some(2, len(cases))
//	for i, c := range cases {
//		t.Run(c.name, func(t *testing.T) {
//			drawn.Skip(t, i)
package matrix

import (
	"math/rand/v2"
	"testing"
)

// Draw is which of the cases of a test run.
type Draw struct{ first, n, of int }

// Some draws n of so many cases, of each so many where there are more, by chance, under the race
// detector, and all without it.
func Some(n, of int) Draw {
	if !Race {
		n = of
	}
	return Draw{rand.IntN(of), n, of}
}

// Has reports whether the i-th case, counted from 0, was drawn.
func (d Draw) Has(i int) bool { return (i+d.first)%d.of < d.n }

// Skip skips the test of the i-th case unless that was drawn.
func (d Draw) Skip(t testing.TB, i int) {
	t.Helper()
	if !d.Has(i) {
		t.Skipf("under the race detector, %d of %d; make simulate runs all", d.n, d.of)
	}
}
