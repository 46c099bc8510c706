package events_test

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
)

const kinesisNumber = "49590338271490256608559692538361571095921575989136588898"

func TestPositionText(t *testing.T) {
	for _, tc := range []struct {
		p    events.Position
		text string
	}{
		{events.Position{}, ""},
		{events.Position{Sequence: "0"}, strings.Repeat("0", 64) + ".000000"},
		{events.Position{Sequence: "7", Sub: 42}, strings.Repeat("0", 63) + "7.000042"},
		{events.Position{Sequence: kinesisNumber, Sub: 999999}, "00000000" + kinesisNumber + ".999999"},
	} {
		if got := tc.p.String(); got != tc.text {
			t.Errorf("%#v: got %q, want %q", tc.p, got, tc.text)
		}
		back, err := events.ParsePosition(tc.text)
		if err != nil || back != tc.p {
			t.Errorf("%q: read back %#v, %v", tc.text, back, err)
		}
	}
}

func TestParsePositionRefuses(t *testing.T) {
	good := events.Position{Sequence: "12", Sub: 1}.String()
	for _, s := range []string{"1.0", "x", good + "0", good[1:], strings.Replace(good, ".", ",", 1),
		strings.Replace(good, "12.", "1x.", 1), good[:65] + "00000x", "-" + good[1:], strings.Repeat("1", 200)} {
		if p, err := events.ParsePosition(s); !errors.Is(err, events.ErrPosition) {
			t.Errorf("%q: got %#v, %v", s, p, err)
		}
	}
}

// The text form exists to be a sort key and a condition in DynamoDB: its order
// must be the order of the numbers.
func TestPositionTextOrderIsPositionOrder(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 1))
	random := func() events.Position {
		if rnd.IntN(20) == 0 {
			return events.Position{}
		}
		n := new(big.Int).SetUint64(rnd.Uint64() >> rnd.IntN(64))
		n.Mul(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(rnd.IntN(40))), nil))
		return events.Position{Sequence: n.String(), Sub: rnd.IntN(3)}
	}
	number := func(p events.Position) *big.Int {
		n, ok := new(big.Int).SetString(p.Sequence, 10)
		if !ok {
			return big.NewInt(-1)
		}
		return n
	}
	for range 20_000 {
		p, q := random(), random()
		want := number(p).Cmp(number(q)) < 0 || number(p).Cmp(number(q)) == 0 && p.Sub < q.Sub
		if got := p.Before(q); got != want {
			t.Fatalf("seed %d: %#v before %#v: got %v", seed, p, q, got)
		}
		if got := p.String() < q.String(); got != want {
			t.Fatalf("seed %d: text of %#v before %#v: got %v", seed, p, q, got)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add("")
	f.Add(events.Position{Sequence: kinesisNumber, Sub: 3}.String())
	f.Add("12.000001")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := events.ParsePosition(s)
		if err != nil {
			if !errors.Is(err, events.ErrPosition) || p != (events.Position{}) {
				t.Fatalf("%q: %#v with %v", s, p, err)
			}
			return
		}
		if p.String() != s {
			t.Fatalf("%q is read as %#v, which is written %q", s, p, p.String())
		}
	})
}
