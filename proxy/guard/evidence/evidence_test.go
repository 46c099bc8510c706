package evidence_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/banyan-fig/banyan/proxy/guard/evidence"
)

// month is the threshold that a guard uses: that many seconds.
const month = 30 * 24 * 3600

// traffic is a simulated route: a block a second.
type traffic struct {
	rate         float64 // requests a second, both sides together
	part         float64 // of them that the judged side gets
	share, other float64 // of bad ones
}

func (w traffic) block(random *rand.Rand) evidence.Block {
	b := evidence.Block{All: poisson(random, w.rate*w.part), OtherAll: poisson(random, w.rate*(1-w.part))}
	b.Bad, b.OtherBad = binomial(random, b.All, w.share), binomial(random, b.OtherAll, w.other)
	return b
}

// poisson and binomial are exact: waiting times between events.
func poisson(random *rand.Rand, mean float64) (n int64) {
	for at := random.ExpFloat64(); at < mean; at += random.ExpFloat64() {
		n++
	}
	return n
}

func binomial(random *rand.Rand, n int64, p float64) (k int64) {
	if p >= 1 {
		return n
	}
	for at := int64(0); p > 0; k++ {
		if at += 1 + int64(random.ExpFloat64()/-math.Log1p(-p)); at > n {
			break
		}
	}
	return k
}

// TestFalseAlarms: with the share exactly at what is allowed there are no more alarms than
// promised, at any rate and however the traffic is divided. A month is too long to simulate:
// the promise is 200 s here.
func TestFalseAlarms(t *testing.T) {
	const seconds, promised = 10_000, 200
	for _, w := range []traffic{
		{1, .5, .015, .005}, {1, .05, .06, .05}, {1, 1, .01, 0}, {1, .9, .21, .2}, {3, .9, .03, .02}, {3, .9, .31, .3}, {3, .99, .03, .02},
		{30, .5, .015, .005}, {30, .01, .31, .3}, {30, .99, .02, .01}, {300, .5, .11, .1}, {1000, .5, .015, .005},
	} {
		random := rand.New(rand.NewPCG(1, 2))
		test := evidence.New(evidence.Config{Margin: .01, Seconds: promised})
		alarms := 0
		for range int(seconds / max(1, w.rate/100)) {
			if test.Add(w.block(random)) {
				alarms++
				test.Reset()
			}
		}
		t.Logf("%+v: a false alarm each %d s", w, int(seconds/max(1, w.rate/100))/max(alarms, 1))
		expected := seconds / max(1, w.rate/100) / promised
		if float64(alarms) > expected+3*math.Sqrt(expected) {
			t.Errorf("%+v: %d alarms, promised %.0f", w, alarms, expected)
		}
	}
}

// TestTimeToAct is with a threshold as a guard has it, after some healthy minutes.
func TestTimeToAct(t *testing.T) {
	for _, c := range []struct {
		traffic
		median, most int // seconds until it acts; most: of nine in ten
		failed       int // requests until then, the median
	}{
		{traffic{1, 1, 1, 0}, 9, 12, 8},
		{traffic{1, 1, .5, 0}, 16, 25, 8},
		{traffic{1, .5, 1, .005}, 40, 60, 18},
		{traffic{1, .5, .5, .005}, 115, 200, 30},
		{traffic{1, .05, 1, .005}, 160, 240, 8},
		{traffic{1000, 1, 1, 0}, 3, 3, 3300},
		{traffic{1000, .5, 1, .005}, 3, 3, 1650},
		{traffic{1000, .5, .05, .005}, 5, 6, 120},
		{traffic{1000, .5, .025, .005}, 22, 30, 280},
		{traffic{1000, .01, .1, .005}, 18, 30, 20},
	} {
		random := rand.New(rand.NewPCG(3, 4))
		var seconds, failed []int
		for range 20 {
			test := evidence.New(evidence.Config{Margin: .01, Seconds: 2 * month})
			healthy := c.traffic
			healthy.share = c.other
			for range int(300 / max(1, c.rate/100)) {
				test.Add(healthy.block(random))
			}
			bad := 0
			for second := 1; ; second++ {
				b := c.block(random)
				bad += int(b.Bad)
				if test.Add(b) {
					seconds, failed = append(seconds, second), append(failed, bad)
					break
				}
			}
		}
		slices.Sort(seconds)
		slices.Sort(failed)
		t.Logf("%+v: median %d s, nine in ten %d s, %d failed requests", c.traffic, seconds[10], seconds[18], failed[10])
		if seconds[10] > c.median || seconds[18] > c.most || failed[10] > c.failed {
			t.Errorf("%+v: median %d s, nine in ten %d s, %d failed requests; want at most %d s, %d s, %d",
				c.traffic, seconds[10], seconds[18], failed[10], c.median, c.most, c.failed)
		}
	}
}

// TestNoBreach has what must not be taken for one.
func TestNoBreach(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	calm := traffic{1000, .5, .005, .005}
	for name, seconds := range map[string]func(second int) evidence.Block{
		"no traffic":          func(int) evidence.Block { return evidence.Block{} },
		"two failures":        func(s int) evidence.Block { return evidence.Block{Bad: int64(1 - s/2), All: int64(1 - s/2)} },
		"two bad seconds":     func(s int) evidence.Block { return traffic{1000, .5, float64(1 - s/2), .005}.block(random) },
		"an outage of both":   func(int) evidence.Block { return traffic{1000, .5, 1, 1}.block(random) },
		"of both, few calls":  func(int) evidence.Block { return traffic{1, .5, 1, 1}.block(random) },
		"of both, but unseen": func(int) evidence.Block { return evidence.Block{Bad: 5, All: 5, Excused: 5} },
		"the other is worse":  func(int) evidence.Block { return traffic{100, .5, .1, .3}.block(random) },
	} {
		test := evidence.New(evidence.Config{Margin: .01, Seconds: month})
		if name != "two failures" && name != "of both, but unseen" {
			for range 60 {
				test.Add(calm.block(random))
			}
		}
		for second := range 120 {
			b := calm.block(random)
			if second < 2 || name != "two bad seconds" {
				b = seconds(min(second, 2))
			}
			if test.Add(b) {
				t.Errorf("%s is a breach, in second %d", name, second+1)
				break
			}
		}
	}
}

func TestLevel(t *testing.T) {
	test := evidence.New(evidence.Config{Margin: .01, Seconds: month, Sustained: 1})
	before := test.Level()
	if before != 0 || test.Add(evidence.Block{Bad: 2, All: 2}) || test.Level() <= before || test.Level() >= 1 {
		t.Errorf("after two failures the level is %v", test.Level())
	}
	if !test.Add(evidence.Block{Bad: 1000, All: 1000}) || test.Level() != 1 || !test.Add(evidence.Block{}) {
		t.Errorf("after a thousand more it is %v", test.Level())
	}
	if test.Reset(); test.Level() != 0 || test.Add(evidence.Block{}) {
		t.Errorf("after a reset it is %v", test.Level())
	}
}
