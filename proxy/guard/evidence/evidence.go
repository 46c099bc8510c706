// Package evidence decides from counts whether one side does worse than the other by more
// than it may: whether more of its requests are bad, whatever bad means, than a margin above
// the other side's share in the same time. It judges again each second, for
// ever, and needs no number of requests to begin with.
//
// # The test
//
// Looking each second at a p-value finds a difference sooner or later where there is none.
// So each block yields an e-value instead, which is at most 1 on average as long as nothing is
// wrong, whatever the other side's share is: the likelihood of the counts under a bet on how
// things are, divided by that under the nearest of the harmless possibilities (Turner and
// Grünwald, "Exact anytime-valid confidence intervals for contingency tables and beyond",
// 2022). It is exact for any counts, as Fisher's test is, and does not approximate a small
// sample by a normal distribution. Five bets, from an excess of a hundredth to nearly all
// requests, each feed a Shiryaev-Roberts statistic, M = (M+1)·e, which forgets a healthy past
// by itself; their mean is compared with a threshold. M minus the number of blocks is a
// supermartingale while nothing is wrong, so that the mean number of blocks, of which a
// second has at most one, until a false alarm is at least the threshold (Shin, Ramdas and Rinaldo, "E-detectors", 2022). That holds
// with the share exactly at what is allowed; a side below has alarms far more rarely.
//
// What one second can add is bounded, so that a single bad moment, however many requests it
// hits, is no breach: [Config.Sustained].
//
// Seconds in which only one side had requests are put together until both have. An other side
// that stays silent is not waited for for long, see patience: its share is then taken to
// be at most what it seems to have been when it was seen last, which fades to nothing.
//
// # Caveats
//
// The requests of a block are taken as independent. A client that repeats one failing request
// often is counted as often. While the other side is silent, what troubles both at once is not
// told from what troubles one, but for [Block.Excused].
package evidence

import "math"

// Config configures a [Test].
type Config struct {
	Margin float64 // how much larger than the other side's the share of bad requests may be, above 0 and below 1
	// Seconds is the mean time between two false alarms, at least.
	Seconds float64
	// Sustained is how many bad seconds it takes at least; default 3.
	Sustained int
}

// Block is what was counted in the same time on both sides: the one that is judged, and the
// other. When it was counted must not depend on how the requests fared.
type Block struct {
	Bad, All, OtherBad, OtherAll int64
	// Excused are those of Bad which the other side, asked afterwards, could not answer either.
	// They are no part of OtherAll, and count only while the other side is silent.
	Excused int64
}

// bets are the excess shares that are betted on, as parts of what is possible.
var bets = [...]float64{.01, .03, .1, .3, .9}

// The other side's share is estimated over the last blocks, from 0 up.
const (
	memory   = .98
	prior    = 20 // requests
	smallest = 1e-4
	// window is for how many seconds requests of the other side are kept for one to compare with.
	window = 60
	// patience is for how many seconds the other side may be silent before the judged one is
	// judged without it.
	patience = 10
)

// Test is the evidence so far. See [New]. It is not safe for concurrent use.
type Test struct {
	margin, threshold, most float64 // most: the logarithm of the largest e-value
	m                       [len(bets)]float64
	otherBad, otherAll      float64
	open                    Block
	age, silent             int // seconds: of open, and since the other side was seen
}

// New returns a test without evidence.
func New(cfg Config) *Test {
	if cfg.Sustained <= 0 {
		cfg.Sustained = 3
	}
	return &Test{
		margin: cfg.Margin, threshold: cfg.Seconds, silent: patience,
		most: math.Log(cfg.Seconds*float64(len(bets))) / float64(cfg.Sustained),
	}
}

// Add takes the counts of one more second into account, and reports whether the evidence suffices.
func (t *Test) Add(b Block) bool {
	t.age++
	t.silent++
	if b.OtherAll > 0 {
		t.silent = 0
	}
	o := &t.open
	*o = Block{o.Bad + b.Bad, o.All + b.All, o.OtherBad + b.OtherBad, o.OtherAll + b.OtherAll, o.Excused + b.Excused}
	switch {
	case o.All > 0 && (o.OtherAll > 0 || t.silent >= patience):
		t.judge(*o)
	case o.All > 0 || t.age < window:
		return t.mean() >= t.threshold
	}
	t.otherBad = t.otherBad*memory + float64(o.OtherBad)
	t.otherAll = t.otherAll*memory + float64(o.OtherAll)
	t.open, t.age = Block{}, 0
	return t.mean() >= t.threshold
}

func (t *Test) judge(b Block) {
	other := t.otherBad / (t.otherAll + prior)
	if b.OtherAll == 0 {
		b.Bad = max(b.Bad-b.Excused, 0)
		other += 2 * math.Sqrt(t.otherBad+t.otherAll/(t.otherAll+prior)) / (t.otherAll + prior)
	}
	other = min(max(other, smallest), 1-smallest)
	allowed := other + t.margin
	if allowed >= 1-smallest {
		return
	}
	for i, bet := range bets {
		e := b.logE(allowed+(1-allowed)*bet, other, t.margin)
		t.m[i] = (t.m[i] + 1) * math.Exp(min(e, t.most))
	}
}

func (t *Test) mean() float64 {
	var sum float64
	for _, m := range t.m {
		sum += m
	}
	return sum / float64(len(t.m))
}

// Level is how much of the evidence needed there is, 0 to 1 on a logarithmic scale.
func (t *Test) Level() float64 {
	return min(max(math.Log(t.mean())/math.Log(t.threshold), 0), 1)
}

// Reset forgets the evidence, but not how the other side usually is.
func (t *Test) Reset() { t.m, t.open, t.age = [len(bets)]float64{}, Block{}, 0 }

// logE is the logarithm of the block's e-value for the bet that the shares are share and
// other, against all pairs of which the first is at most margin above the second.
//
// Of those pairs q is the nearest, by the divergence of all requests of the block together.
// For a pair of shares p let f and g be the mean likelihood ratio of one request on either
// side. The e-value's mean is f^All·g^OtherAll, at most ((All·f+OtherAll·g)/(All+OtherAll))^(All+OtherAll),
// and the sum in it is linear in p, All+OtherAll at q, and because q is nearest in a convex
// set, nowhere in the set larger.
func (b Block) logE(share, other, margin float64) float64 {
	n, m := float64(b.All), float64(b.OtherAll)
	q := other
	if m > 0 {
		low, high := other, share-margin
		for range 40 {
			q = (low + high) / 2
			p := q + margin
			if n*(p-share)/(p*(1-p))+m*(q-other)/(q*(1-q)) < 0 {
				low = q
			} else {
				high = q
			}
		}
	}
	return logRatio(b.Bad, b.All, share, q+margin) + logRatio(b.OtherBad, b.OtherAll, other, q)
}

func logRatio(bad, all int64, p, q float64) float64 {
	if all == 0 {
		return 0
	}
	return float64(bad)*math.Log(p/q) + float64(all-bad)*math.Log((1-p)/(1-q))
}
