package attribute_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// decimal makes a random number within the limits, of few or many digits.
func decimal(rnd *rand.Rand) string {
	digits := make([]byte, 1+rnd.IntN([]int{2, 5, 38}[rnd.IntN(3)]))
	for i := range digits {
		digits[i] = byte('0' + rnd.IntN(10))
	}
	sign := []string{"", "-", "+"}[rnd.IntN(3)]
	point := rnd.IntN(len(digits) + 1)
	return fmt.Sprintf("%s0%s.%se%d", sign, digits[:point], digits[point:], rnd.IntN(160)-80)
}

func number(t *testing.T, text string) attribute.Value {
	t.Helper()
	v, err := attribute.Number(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func rat(t *testing.T, text string) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		t.Fatalf("%s is no number", text)
	}
	return r
}

// TestNumbersKeepTheirOrder compares the order of numbers, and of their keys, with that of exact
// fractions.
func TestNumbersKeepTheirOrder(t *testing.T) {
	const seed = 20
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 4_000 {
		a, b := decimal(rnd), decimal(rnd)
		if rnd.IntN(20) == 0 {
			b = a
		}
		x, y := number(t, a), number(t, b)
		want := rat(t, a).Cmp(rat(t, b))
		if got, ok := attribute.Compare(x, y); !ok || sign(got) != want {
			t.Fatalf("seed %d: Compare(%s, %s) = %d, want %d", seed, a, b, got, want)
		}
		if got := strings.Compare(attribute.KeyText(x), attribute.KeyText(y)); got != want {
			t.Fatalf("seed %d: the keys of %s and %s are in order %d, want %d", seed, a, b, got, want)
		}
		if attribute.Equal(x, y) != (want == 0) {
			t.Fatalf("seed %d: Equal(%s, %s) is wrong", seed, a, b)
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

func TestSums(t *testing.T) {
	if sum, err := attribute.Add(number(t, "-7"), number(t, "12")); err != nil || sum.Text() != "5" {
		t.Errorf("-7 + 12 = %s, %v", sum.Text(), err)
	}
	for _, text := range []string{"0.5", strings.Repeat("9", 19)} {
		if _, err := attribute.Add(number(t, text), number(t, "1")); err == nil || !strings.Contains(err.Error(), "not implemented by the sandbox") {
			t.Errorf("%s + 1: %v", text, err)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int{"0": 1, "1": 2, "12": 2, "123": 3, "1234": 3, "-1": 3, "100": 2, "1000": 2,
		"0.5": 2, "0.01": 2, "0.0001": 2, "12.5": 3, "-12.25": 4} {
		if got := number(t, text).Size(); got != want {
			t.Errorf("%s has %d bytes, want %d", text, got, want)
		}
	}
	longest := number(t, strings.Repeat("9", 38)).Size()
	if longest != 20 {
		t.Errorf("38 digits have %d bytes, want 20", longest)
	}
	it := attribute.Item{{Name: "a", Value: attribute.String("é")}, {Name: "l", Value: attribute.List([]attribute.Value{attribute.Bool(true), attribute.Null()})}}
	if got, want := it.Size(), 1+2+1+3+2+1+1; got != want {
		t.Errorf("the item has %d bytes, want %d", got, want)
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"0", "-0", "1e5", "1.50", ".5", "5.", "-1e-130", "9.9e125", "1e126", "+1", "e", ".", "0x1", "1_000", "١"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		v, err := attribute.Number(text)
		if err != nil {
			return
		}
		again, err := attribute.Number(v.Text())
		if err != nil || again.Text() != v.Text() {
			t.Fatalf("%q is %q, which is %q (%v)", text, v.Text(), again.Text(), err)
		}
		if rat(t, text).Cmp(rat(t, v.Text())) != 0 {
			t.Fatalf("%q became %q", text, v.Text())
		}
	})
}

func TestItemsAreImmutable(t *testing.T) {
	var it attribute.Item
	names := []string{"m", "a", "z", "c", "b"}
	for i, name := range names {
		it = it.With(name, number(t, strconv.Itoa(i)))
	}
	before := slices.Clone(it)
	it.With("a", attribute.Null())
	it.With("new", attribute.Null())
	it.Without("c")
	if !attribute.EqualItems(it, before) {
		t.Errorf("the item changed: %s", it.AppendJSON(nil))
	}
	if got := string(it.Without("m").Only([]string{"z", "a", "none"}).AppendJSON(nil)); got != `{"a":{"N":"1"},"z":{"N":"2"}}` {
		t.Errorf("got %s", got)
	}
}
