package matrix_test

import (
	"testing"

	"github.com/banyan-fig/banyan/infra/matrix"
)

func TestSome(t *testing.T) {
	want := map[bool]int{true: 2, false: 7}[matrix.Race]
	drawn, n := matrix.Some(2, 7), 0
	for i := range 7 {
		if drawn.Has(i) {
			n++
		}
		t.Run("", func(t *testing.T) {
			drawn.Skip(t, i)
			if !drawn.Has(i) {
				t.Error("a case that was not drawn is not skipped")
			}
		})
	}
	if n != want {
		t.Errorf("%d of 7 were drawn, want %d", n, want)
	}
}
