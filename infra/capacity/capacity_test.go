package capacity_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/infra/capacity"
)

func published(t *testing.T) capacity.Prices {
	t.Helper()
	p, err := capacity.Published("us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestByHand: sums that are worked out here from the published prices.
func TestByHand(t *testing.T) {
	e, err := capacity.New(capacity.Load{Rate: 10_000, Size: 476, Use: 1, ReadModels: 1, Items: 1, Plain: true, ItemBytes: 1025}, published(t))
	if err != nil {
		t.Fatal(err)
	}
	const seconds = 730 * 3600
	m, s := e.Without.Monthly, e.Without.Stream
	for name, pair := range map[string][2]float64{
		"shards, by records":          {float64(s.Shards), 10},
		"records":                     {s.Records, 10_000},
		"payload units":               {s.PutUnits, 10_000},
		"stream, provisioned":         {m.StreamProvisioned, 10*730*0.015 + 10_000*seconds/1e6*0.014},
		"stream, on demand":           {m.StreamOnDemand, 730*0.04 + 10_000*seconds*1024.0/(1<<30)*0.08 + 10_000*seconds*500.0/(1<<30)*0.04},
		"write units of 2 KiB, plain": {e.Tables.WriteUnits, 20_000},
		"tables, on demand":           {m.TablesOnDemand, 20_000 * seconds / 1e6 * 0.625},
		"tables, provisioned":         {m.TablesProvisioned, 20_000 * 730 * 0.00065},
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-9*pair[1] {
			t.Errorf("%s: %g, by hand %g", name, pair[0], pair[1])
		}
	}
	twice, err := capacity.New(capacity.Load{Rate: 10_000, Size: 476, Use: 1, ReadModels: 1, Items: 1, ItemBytes: 1025}, published(t))
	if err != nil || twice.Tables.WriteUnits != 40_000 {
		t.Errorf("in transactions: %g write units, %v", twice.Tables.WriteUnits, err)
	}
}

// TestMoreIsNeverCheaper, and aggregation never needs more, from a trickle to a
// million events a second.
func TestMoreIsNeverCheaper(t *testing.T) {
	p := published(t)
	for _, size := range []int{100, 500, 5_000, 60_000} {
		var before capacity.Estimate
		for rate := 0.1; rate <= 1e6; rate *= 10 {
			e, err := capacity.New(capacity.Load{Rate: rate, Size: size}, p)
			if err != nil {
				t.Fatal(err)
			}
			a, b := e.With, e.Without
			if a.Stream.Records > b.Stream.Records || a.Stream.PutUnits > b.Stream.PutUnits || a.Monthly.Functions > 1.01*b.Monthly.Functions {
				t.Errorf("%g events of %d bytes: aggregated %+v, plain %+v", rate, size, a, b)
			}
			for _, w := range []capacity.Way{a, b} {
				s := w.Stream
				n := float64(s.Shards)
				if s.Bytes/n > 0.7001*(1<<20) || s.Records/n > 700.1 || s.Requests > s.Records*1.001 || math.IsNaN(w.Monthly.Most) ||
					w.Monthly.Most < w.Monthly.Least {
					t.Errorf("%g events of %d bytes: %+v", rate, size, w)
				}
			}
			if a.Stream.Shards < before.With.Stream.Shards || b.Monthly.Least < before.Without.Monthly.Least {
				t.Errorf("%g events of %d bytes are cheaper than fewer", rate, size)
			}
			before = e
		}
	}
}

// TestBatches, by hand: of 40 records a second on two shards, what comes in a
// second or a window is a batch, up to its most.
func TestBatches(t *testing.T) {
	for _, test := range []struct {
		window      time.Duration
		batch       int
		invocations float64
	}{{0, 100, 2}, {time.Second / 2, 100, 2}, {4 * time.Second, 100, 0.5}, {4 * time.Second, 50, 0.8}, {0, 10, 4}} {
		l := capacity.Load{Rate: 40, ReadModels: 1, Window: test.window, Batch: test.batch, PerEvent: 10 * time.Millisecond}
		f := l.Functions(l.Stream(2, false))
		busy := test.invocations*0.010 + 40*0.010
		if math.Abs(f.Invocations-test.invocations) > 1e-9 || math.Abs(f.Concurrency-busy) > 1e-9 || math.Abs(f.GBSeconds-busy/2) > 1e-9 {
			t.Errorf("%+v: %+v", test, f)
		}
	}
}

// TestCheaperMode, worked out here as in TestByHand.
func TestCheaperMode(t *testing.T) {
	const month = 730 * 3600.0
	units, in, out := month*0.014/1e6, month*1024/(1<<30)*0.08, month*500/(1<<30)*0.04 // of one event a second
	for _, test := range []struct {
		rate, use      float64
		stream, tables capacity.Mode
	}{
		{10_000, 1, capacity.Mode{Below: (10*730*0.015 - 29.2) / (10_000 * (in + out - units))}, capacity.Mode{Below: 730 * 0.00065 / (month * 0.625 / 1e6)}},
		{1, 1, capacity.Mode{}, capacity.Mode{Below: 730 * 0.00065 / (month * 0.625 / 1e6)}},
		{1000, 0.01, capacity.Mode{OnDemand: true, Below: 1}, capacity.Mode{OnDemand: true, Below: 1}}, // 100 shards
	} {
		e, err := capacity.New(capacity.Load{Rate: test.rate, Size: 476, Use: test.use, ReadModels: 1, Items: 1, Plain: true}, published(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]capacity.Mode{{e.Without.StreamMode, test.stream}, {e.Without.TablesMode, test.tables}} {
			if got, want := pair[0], pair[1]; got.OnDemand != want.OnDemand || math.Abs(got.Below-want.Below) > 1e-9 {
				t.Errorf("%g events/s: %+v, by hand %+v", test.rate, got, want)
			}
		}
	}
}

// TestQuotas: what is beyond them is said, as the region's own are.
func TestQuotas(t *testing.T) {
	here := published(t)
	there := here
	there.Region = "eu-north-1"
	for _, test := range []struct {
		prices capacity.Prices
		rate   float64
		want   string
	}{
		{here, 1e6, ""},
		{here, 1e7, ""},
		{there, 1e6, "grows to 200 MB/s by itself in eu-north-1"},
		{there, 1e7, "that an account in eu-north-1 has"},
	} {
		e, err := capacity.New(capacity.Load{Rate: test.rate}, test.prices)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Join(e.Warnings, "\n")
		if !strings.Contains(said, test.want) || test.want == "" && (strings.Contains(said, "by itself") || strings.Contains(said, "shards are beyond")) {
			t.Errorf("%g events/s in %s: %s", test.rate, test.prices.Region, said)
		}
	}
	most, err := capacity.New(capacity.Load{Rate: 1e7, Size: 1_000_000, ReadModels: 100}, here)
	if err != nil {
		t.Fatal(err)
	}
	if s := most.With.Stream; s.Bytes*100/float64(s.Shards) > 0.7001*(2<<20) ||
		!strings.Contains(strings.Join(most.Warnings, "\n"), "beyond the 20000 that an account in us-east-1") {
		t.Errorf("%+v %q", s, most.Warnings)
	}
}

func TestReadersNeedShardsToo(t *testing.T) {
	l := capacity.Load{Rate: 10_000, Size: 1000, ReadModels: 6}
	shared, err := capacity.New(l, published(t))
	if err != nil {
		t.Fatal(err)
	}
	l.EnhancedFanOut = true
	alone, err := capacity.New(l, published(t))
	if err != nil {
		t.Fatal(err)
	}
	if shared.With.Stream.ShardsBy != "reads" || shared.With.Stream.Shards <= alone.With.Stream.Shards || alone.With.Monthly.FanOutProvisioned == 0 {
		t.Errorf("shared %+v, alone %+v", shared.With, alone.With)
	}
	if !strings.Contains(strings.Join(shared.Warnings, "\n"), "--efo") {
		t.Errorf("warnings are %q", shared.Warnings)
	}
}

func TestWrongLoadsAreRefused(t *testing.T) {
	for name, l := range map[string]capacity.Load{
		"nothing": {}, "negative": {Rate: -1}, "too much": {Rate: 1e9}, "huge": {Rate: 1, Size: 2 << 20},
		"use": {Rate: 1, Use: 2}, "window": {Rate: 1, Window: time.Hour}, "architecture": {Rate: 1, Architecture: "vax"}, "not a number": {Rate: math.NaN()},
		"publishers": {Rate: 1, Publishers: 1e7}, "linger": {Rate: 1, Linger: -1}, "items": {Rate: 1, Items: math.Inf(1)},
		"messages": {Rate: 1, Messages: math.Inf(1)}, "an hour an event": {Rate: 1, PerEvent: time.Hour},
	} {
		if err := l.Validate(); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestPricesHaveDatesAndSources(t *testing.T) {
	file, err := os.ReadFile("prices.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := capacity.ParsePrices(file, "us-east-1"); err != nil {
		t.Error(err)
	}
	for name, change := range map[string][2]string{
		"no source":   {`source: "https://cloudchipr.com/blog/aws-lambda-pricing"`, `source: ""`},
		"no date":     {"seen: 2024-01-01", "seen: recently"},
		"no number":   {"usd: 0.20", "usd: 0"},
		"no such key": {"per:", "each:"},
		"missing":     {"lambda-requests:", "other:"},
	} {
		if _, err := capacity.ParsePrices(bytes.Replace(file, []byte(change[0]), []byte(change[1]), 1), "us-east-1"); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := capacity.ParsePrices(file, "eu-nowhere-1"); err == nil || !strings.Contains(err.Error(), "us-east-1") {
		t.Errorf("another region: %v", err)
	}
}

func FuzzParsePrices(f *testing.F) {
	f.Add([]byte("collected: 2026-01-01\nregions: {us-east-1: {}}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := capacity.ParsePrices(file, "us-east-1")
		if err == nil && len(p.By) == 0 {
			t.Error("no prices are accepted")
		}
	})
}

func TestWritten(t *testing.T) {
	e, err := capacity.New(capacity.Load{Rate: 1e6, Size: 400, Messages: 100, EnhancedFanOut: true}, published(t))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := e.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1,000,000 events/s", "shards (provisioned)", "+ fan-out, on demand", "queue of 100 messages/s",
		"the stream provisioned, the tables provisioned", "Prices of sources from 20"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
	if _, err := json.Marshal(e); err != nil {
		t.Error(err)
	}
}
