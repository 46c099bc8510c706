package demo

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// The histogram's quantiles are within its bucket width of the exact ones.
func TestQuantilesAreWithinFourPercent(t *testing.T) {
	const seed = 7
	r := rand.New(rand.NewPCG(seed, seed))
	var h histogram
	exact := make([]time.Duration, 20_000)
	for i := range exact {
		exact[i] = time.Duration(r.ExpFloat64() * float64(20*time.Millisecond)).Truncate(time.Microsecond)
		h.add(exact[i])
	}
	slices.Sort(exact)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999} {
		want, got := exact[int(q*float64(len(exact)))], h.quantile(q)
		if got < want || float64(got-want) > 0.04*float64(want)+float64(time.Microsecond) {
			t.Errorf("seed %d: quantile %v is %v, exactly %v", seed, q, got, want)
		}
	}
	if h.quantile(1) != exact[len(exact)-1] {
		t.Errorf("maximum %v, exactly %v", h.quantile(1), exact[len(exact)-1])
	}
}
