package autoscale_test

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/ops/autoscale"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// shardsAt cuts the hash range at fractions of it.
func shardsAt(borders ...float64) []autoscale.Shard {
	space := new(big.Int).Lsh(big.NewInt(1), 128)
	at := func(f float64) *big.Int {
		n, _ := new(big.Float).Mul(new(big.Float).SetInt(space), big.NewFloat(f)).Int(nil)
		return n
	}
	borders = append(append([]float64{0}, borders...), 1)
	var out []autoscale.Shard
	for i := range len(borders) - 1 {
		last := at(borders[i+1])
		out = append(out, autoscale.Shard{ID: fmt.Sprintf("shard-%d", i), First: at(borders[i]), Last: last.Sub(last, big.NewInt(1))})
	}
	return out
}

func even(n int) []autoscale.Shard {
	var borders []float64
	for i := 1; i < n; i++ {
		borders = append(borders, float64(i)/float64(n))
	}
	return shardsAt(borders...)
}

// calm repeats loads for so many minutes up to noon.
func calm(minutes int, load ...float64) []autoscale.Minute {
	var out []autoscale.Minute
	for i := minutes; i > 0; i-- {
		out = append(out, autoscale.Minute{At: noon.Add(-time.Duration(i) * time.Minute), Load: load, Throttled: make([]float64, len(load))})
	}
	return out
}

func repeat(n int, load float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = load
	}
	return out
}

func observe(shards []autoscale.Shard, minutes []autoscale.Minute) autoscale.Observation {
	return autoscale.Observation{Now: noon, Active: true, Shards: shards, ByShard: true, Minutes: minutes}
}

// at looks at the same figures later.
func at(o autoscale.Observation, later time.Duration) autoscale.Observation {
	o.Now = o.Now.Add(later)
	return o
}

// risen adds the stream's load of a minute after the last that is known of the shards.
func risen(o autoscale.Observation, load float64) autoscale.Observation {
	o.Totals = append(o.Totals, autoscale.Total{At: noon, Load: load})
	return o
}

func throttled(minutes []autoscale.Minute, shard int, records float64) []autoscale.Minute {
	last := &minutes[len(minutes)-1]
	last.Throttled = append([]float64{}, last.Throttled...)
	last.Throttled[shard] = records
	return minutes
}

func scaled(n int, ago time.Duration) (out []time.Time) {
	for range n {
		out = append(out, noon.Add(-ago))
	}
	return out
}

func TestDecide(t *testing.T) {
	policy := autoscale.Policy{Stream: "s", Min: 2, Max: 16}
	few := shardsAt(0.5, 0.75, 0.76)
	tests := []struct {
		name   string
		o      autoscale.Observation
		s      autoscale.State
		want   autoscale.Decision // Action, Target, Shard, Adjacent, AtLimit, HotKey
		reason string
	}{
		{name: "fine", o: observe(even(4), calm(35, repeat(4, 0.6)...)), reason: "60 % at most in 30 minutes"},
		{name: "a quarter more is enough", o: observe(even(4), calm(35, repeat(4, 0.76)...)), want: autoscale.Decision{Action: autoscale.Up, Target: 6}},
		{name: "the least quarter", o: observe(even(8), calm(35, repeat(8, 0.751)...)), want: autoscale.Decision{Action: autoscale.Up, Target: 12}},
		{name: "double at most", o: observe(even(4), calm(35, repeat(4, 5)...)), want: autoscale.Decision{Action: autoscale.Up, Target: 8}},
		{name: "not beyond the most", o: observe(even(12), calm(35, repeat(12, 5)...)), want: autoscale.Decision{Action: autoscale.Up, Target: 16}},
		{
			name:   "at the most",
			o:      observe(even(16), calm(35, repeat(16, 5)...)),
			want:   autoscale.Decision{Action: autoscale.Nothing, AtLimit: true},
			reason: "as many shards as are allowed",
		},
		{
			name: "one of many is hot at the most",
			o:    observe(even(16), calm(35, append(repeat(15, 0.2), 0.9)...)),
			want: autoscale.Decision{Action: autoscale.Nothing, AtLimit: true},
		},
		{
			name:   "one minute is all that is known",
			o:      observe(even(4), calm(1, repeat(4, 0.9)...)),
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "known of 1 minutes",
		},
		{
			name: "one minute is not two",
			o:    observe(even(4), append(calm(35, repeat(4, 0.6)...)[:34], calm(1, repeat(4, 0.85)...)...)),
			want: autoscale.Decision{Action: autoscale.Nothing},
		},
		{
			name: "refusals count at once",
			o:    observe(even(4), throttled(calm(35, repeat(4, 0.6)...), 2, 600)),
			want: autoscale.Decision{Action: autoscale.Up, Target: 5},
		},
		{name: "few refusals do not", o: observe(even(4), throttled(calm(35, repeat(4, 0.6)...), 2, 60)), want: autoscale.Decision{Action: autoscale.Nothing}},
		{
			name:   "one of many is hot",
			o:      observe(even(4), calm(35, 0.2, 0.9, 0.2, 0.2)),
			want:   autoscale.Decision{Action: autoscale.Split, Shard: "shard-1"},
			reason: "split shard-1",
		},
		{name: "hot, and nobody knows which", o: func() autoscale.Observation {
			o := observe(even(4), calm(35, repeat(4, 0.8)...))
			o.ByShard = false
			return o
		}(), want: autoscale.Decision{Action: autoscale.Up, Target: 6}},
		{
			name:   "one key is hot",
			o:      observe(few, calm(35, 0.2, 0.2, 0.9, 0.2)),
			want:   autoscale.Decision{Action: autoscale.Nothing, HotKey: true},
			reason: "one partition key",
		},
		{
			name:   "the day is used up",
			o:      observe(even(4), calm(35, 0.8, 0.9, 0.8, 0.8)),
			s:      autoscale.State{Version: 1, Scalings: scaled(10, 23*time.Hour)},
			want:   autoscale.Decision{Action: autoscale.Split, Shard: "shard-1"},
			reason: "used up",
		},
		{
			name: "a day is over",
			o:    observe(even(4), calm(35, repeat(4, 0.76)...)),
			s:    autoscale.State{Version: 1, Scalings: scaled(10, 25*time.Hour)},
			want: autoscale.Decision{Action: autoscale.Up, Target: 6},
		},
		{
			name: "a step more when half of the day is used",
			o:    observe(even(4), calm(35, repeat(4, 0.76)...)),
			s:    autoscale.State{Version: 1, Scalings: scaled(5, time.Hour)},
			want: autoscale.Decision{Action: autoscale.Up, Target: 7},
		},
		{
			name: "the API says it is used up",
			o:    observe(even(4), calm(35, repeat(4, 0.8)...)),
			s:    autoscale.State{Version: 1, BlockedUntil: noon.Add(time.Minute)},
			want: autoscale.Decision{Action: autoscale.Split, Shard: "shard-0"},
		},
		{name: "half is enough", o: observe(even(8), calm(35, repeat(8, 0.2)...)), want: autoscale.Decision{Action: autoscale.Down, Target: 4}},
		{name: "three quarters are", o: observe(even(8), calm(35, repeat(8, 0.3)...)), want: autoscale.Decision{Action: autoscale.Down, Target: 6}},
		{
			name:   "a peak that only the stream's figures show yet",
			o:      risen(observe(even(8), calm(35, repeat(8, 0.2)...)), 3),
			reason: "had more than the 30 before",
		},
		{
			name: "the stream's last minute was calm, too", o: risen(observe(even(8), calm(35, repeat(8, 0.2)...)), 1.5),
			want: autoscale.Decision{Action: autoscale.Down, Target: 4},
		},
		{name: "not below the least", o: observe(even(3), calm(35, repeat(3, 0.01)...)), want: autoscale.Decision{Action: autoscale.Down, Target: 2}},
		{
			name:   "at the least",
			o:      observe(even(2), calm(35, repeat(2, 0)...)),
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "as few shards as are allowed",
		},
		{
			name: "a peak half an hour ago",
			o:    observe(even(8), append(calm(30, repeat(8, 0.6)...)[:1], calm(29, repeat(8, 0.1)...)...)),
			want: autoscale.Decision{Action: autoscale.Nothing},
		},
		{
			name:   "too little is known",
			o:      observe(even(8), calm(29, repeat(8, 0)...)),
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "29 are known",
		},
		{
			name:   "throttled of late",
			o:      observe(even(8), throttled(calm(35, repeat(8, 0.1)...), 0, 1)),
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "throttled in the last",
		},
		{
			name: "scalings are kept for growth",
			o:    observe(even(8), calm(35, repeat(8, 0.26)...)),
			s:    autoscale.State{Version: 1, Scalings: scaled(6, time.Hour)},
			want: autoscale.Decision{Action: autoscale.Nothing},
		},
		{
			name: "cold neighbours beside a hot range",
			o:    observe(even(4), calm(35, 0.7, 0.7, 0.1, 0.2)),
			want: autoscale.Decision{Action: autoscale.Merge, Shard: "shard-2", Adjacent: "shard-3"},
		},
		{
			name:   "nothing is known",
			o:      observe(even(4), nil),
			want:   autoscale.Decision{Action: autoscale.Nothing, MetricsMissing: true},
			reason: "no figures of the last 10 minutes",
		},
		{
			name: "figures may be late",
			o:    at(observe(even(4), calm(35, repeat(4, 0.8)...)), 9*time.Minute),
			want: autoscale.Decision{Action: autoscale.Up, Target: 6},
		},
		{
			name: "figures are too late",
			o:    at(observe(even(4), calm(35, repeat(4, 0.8)...)), 10*time.Minute),
			want: autoscale.Decision{Action: autoscale.Nothing, MetricsMissing: true},
		},
		{
			name:   "nothing is known yet",
			o:      observe(even(4), nil),
			s:      autoscale.State{Version: 1, Confirmed: noon.Add(-10 * time.Minute)},
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "known of 0 minutes",
		},
		{
			name:   "cooling down",
			o:      observe(even(4), calm(35, repeat(4, 5)...)),
			s:      autoscale.State{Version: 1, Confirmed: noon.Add(-2 * time.Minute), Last: "up"},
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "cooling down after: up",
		},
		{
			name:   "minutes before a change do not count",
			o:      observe(even(4), calm(35, repeat(4, 0.1)...)),
			s:      autoscale.State{Version: 1, Confirmed: noon.Add(-20 * time.Minute)},
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "20 are known",
		},
		{
			name: "a change is through",
			o:    observe(even(4), calm(35, repeat(4, 5)...)),
			s:    autoscale.State{Version: 1, Pending: true, Last: "up"},
			want: autoscale.Decision{Action: autoscale.Confirm},
		},
		{
			name:   "a change is not yet seen",
			o:      observe(even(4), calm(35, repeat(4, 5)...)),
			s:      autoscale.State{Version: 1, Pending: true, Changed: noon.Add(-29 * time.Second), Last: "up"},
			reason: "begun just now: up",
		},
		{
			name: "a change is seen to be through",
			o:    observe(even(4), calm(35, repeat(4, 5)...)),
			s:    autoscale.State{Version: 1, Pending: true, Changed: noon.Add(-30 * time.Second), Last: "up"},
			want: autoscale.Decision{Action: autoscale.Confirm},
		},
		{
			name:   "on-demand",
			o:      autoscale.Observation{Now: noon, OnDemand: true, Active: true},
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "on-demand",
		},
		{
			name:   "updating",
			o:      autoscale.Observation{Now: noon},
			s:      autoscale.State{Pending: true},
			want:   autoscale.Decision{Action: autoscale.Nothing},
			reason: "in progress",
		},
		{name: "below the least", o: observe(even(1), nil), want: autoscale.Decision{Action: autoscale.Up, Target: 2}},
		{name: "far above the most", o: observe(even(40), nil), want: autoscale.Decision{Action: autoscale.Down, Target: 20}},
		{name: "above the most", o: observe(even(20), nil), want: autoscale.Decision{Action: autoscale.Down, Target: 16}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want.Action == "" {
				test.want.Action = autoscale.Nothing
			}
			got := autoscale.Decide(policy, test.o, test.s)
			w := test.want
			if got.Action != w.Action || got.Target != w.Target || got.Shard != w.Shard || got.Adjacent != w.Adjacent || got.AtLimit != w.AtLimit ||
				got.HotKey != w.HotKey ||
				got.MetricsMissing != w.MetricsMissing {
				t.Errorf("got %+v, want %+v", got, w)
			}
			if got.Reason == "" || !strings.Contains(got.Reason, test.reason) {
				t.Errorf("the reason is %q, want %q in it", got.Reason, test.reason)
			}
		})
	}
}

// TestSpreadLoadIsNoHotRange: a wide range whose load is only its share of the
// stream's is no reason to split it.
func TestSpreadLoadIsNoHotRange(t *testing.T) {
	o := observe(shardsAt(0.4, 0.6, 0.8), calm(35, 0.9, 0.2, 0.2, 0.2))
	for i := range o.Minutes {
		o.Minutes[i].Spread = true
	}
	if d := autoscale.Decide(autoscale.Policy{Stream: "s", Max: 16}, o, autoscale.State{}); d.Action != autoscale.Up {
		t.Errorf("%+v", d)
	}
}

// TestLeast: a half or three quarters may be below it.
func TestLeast(t *testing.T) {
	p := autoscale.Policy{Stream: "s", Min: 7, Max: 16}
	if d := autoscale.Decide(p, observe(even(8), calm(35, repeat(8, 0)...)), autoscale.State{}); d.Action != autoscale.Down || d.Target != 7 {
		t.Errorf("%+v", d)
	}
}

// TestSplitIsInTheMiddle: to the key, in 128 bits.
func TestSplitIsInTheMiddle(t *testing.T) {
	shards := even(4)
	d := autoscale.Decide(autoscale.Policy{Stream: "s", Max: 8}, observe(shards, calm(2, 0.1, 0.1, 0.1, 0.9)), autoscale.State{})
	want := new(big.Int).Lsh(big.NewInt(7), 125)
	if d.Action != autoscale.Split || d.At.Cmp(want) != 0 {
		t.Errorf("%s at %s, want %s", d.Action, d.At, want)
	}
}

func TestPredictKeepsTheLoad(t *testing.T) {
	shards := shardsAt(0.1, 0.35, 0.8)
	load := []float64{0.5, 0.1, 0.9, 0.3}
	for n := 1; n < 20; n++ {
		total := 0.0
		for _, l := range autoscale.Predict(shards, load, n) {
			total += l
		}
		if math.Abs(total-1.8) > 1e-9 {
			t.Errorf("%d ranges have %g", n, total)
		}
	}
	if got := autoscale.Predict(shards, load, 2); math.Abs(got[0]-(0.5+0.1+0.9/3)) > 1e-9 {
		t.Errorf("halves: %v", got)
	}
}

func TestPolicies(t *testing.T) {
	for text, want := range map[string]string{
		``:                                      "no stream is named",
		`[{"stream":"a","max":4}]`:              "",
		`[{"stream":"a"}]`:                      "1 <= min <= max",
		`[{"stream":"a","max":4,"min":5}]`:      "1 <= min <= max",
		`[{"stream":"a","max":4,"downTo":0.7}]`: "grow again at once",
		`[{"stream":"a","max":4,"target":0.9}]`: "target < up",
		`[{"stream":"a","max":4},{"stream":"a","max":4}]`: "two policies",
		`[{"stream":"a","maximum":4}]`:                    "unknown field",
		`{}`:                                              "must be",
	} {
		_, err := autoscale.ParseConfig(func(name string) string {
			if name == "AUTOSCALE_STREAMS" {
				return text
			}
			return ""
		})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
