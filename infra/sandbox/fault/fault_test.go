package fault_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const text = `
# what goes wrong
delay 200ms
kinesis.PutRecords throttle=0.02 partial=0.05 timeout-after=0.01
sqs.* late=0.5; *.* internal=0.001 # the rest
`

func parse(t *testing.T, text string) fault.Plan {
	t.Helper()
	p, err := fault.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func injector(t *testing.T, text string, seed uint64) *fault.Injector {
	t.Helper()
	in, err := fault.New(parse(t, text), seed)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestParse(t *testing.T) {
	want := fault.Plan{Delay: 200 * time.Millisecond, Rules: []fault.Rule{
		{Service: "kinesis", Operation: "PutRecords", Odds: map[fault.Kind]float64{fault.Throttle: 0.02, fault.Partial: 0.05, fault.TimeoutAfter: 0.01}},
		{Service: "sqs", Operation: "*", Odds: map[fault.Kind]float64{fault.Late: 0.5}},
		{Service: "*", Operation: "*", Odds: map[fault.Kind]float64{fault.Internal: 0.001}},
	}}
	got := parse(t, text)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseErrorsNameTheLine(t *testing.T) {
	for text, want := range map[string]string{
		"\nkinesis throttle=1":               "line 2",
		"kinesis.PutRecords throttle":        "kind=probability",
		"kinesis.PutRecords melt=1":          "unknown kind",
		"kinesis.PutRecords none=1":          "unknown kind",
		"a.b throttle=2":                     "between 0 and 1",
		"a.b throttle=NaN":                   "between 0 and 1",
		"a.b throttle=0.6 partial=0.6":       "more than 1",
		"a.b throttle=0.1 throttle=0.1":      "twice",
		"a.b throttle=0.1\nA.B partial=0.1":  "twice",
		".b throttle=0.1":                    "must be named",
		"delay":                              "one duration",
		"delay soon":                         "invalid duration",
		"delay 2m":                           "not between",
		"a.b throttle=many":                  "probability of throttle",
		"a.b throttle=0.1;\n\n;a.b.c late=x": "line 3",
	} {
		if _, err := fault.Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want one that says %q", text, err, want)
		}
	}
}

// draws makes n calls of each of two operations and says what happened.
func draws(in *fault.Injector, n int) []fault.Fault {
	var out []fault.Fault
	for i := range n {
		out = append(out, in.Draw("kinesis", "PutRecords", "s"), in.Draw("sqs", "SendMessage", fmt.Sprint(i%3)))
	}
	return out
}

func TestSameSeedSameFaults(t *testing.T) {
	a, b, c := draws(injector(t, text, 7), 2000), draws(injector(t, text, 7), 2000), draws(injector(t, text, 8), 2000)
	if !slices.Equal(a, b) {
		t.Error("the same seed gave other faults")
	}
	if slices.Equal(a, c) {
		t.Error("another seed gave the same faults")
	}
}

// TestOneResourceDoesNotMoveAnother: what a call suffers depends on the calls
// of its own kind alone, so concurrency elsewhere changes nothing.
func TestOneResourceDoesNotMoveAnother(t *testing.T) {
	quiet, busy := injector(t, text, 7), injector(t, text, 7)
	for i := range 500 {
		busy.Draw("sqs", "ReceiveMessage", "q")
		busy.Draw("kinesis", "PutRecords", "other")
		if a, b := quiet.Draw("kinesis", "PutRecords", "s"), busy.Draw("kinesis", "PutRecords", "s"); a != b {
			t.Fatalf("call %d: %v alone, %v in traffic", i, a, b)
		}
	}
}

func TestOddsAreKept(t *testing.T) {
	const n = 40_000
	in := injector(t, "a.b throttle=0.1 partial=0.25 late=0.05", 42)
	got := map[fault.Kind]int{}
	for range n {
		got[in.Draw("a", "b", "").Kind]++
	}
	for kind, odds := range map[fault.Kind]float64{fault.None: 0.6, fault.Throttle: 0.1, fault.Partial: 0.25, fault.Late: 0.05} {
		if share := float64(got[kind]) / n; math.Abs(share-odds) > 0.01 {
			t.Errorf("%s in %.3f of the calls, want %.2f (seed 42)", kind, share, odds)
		}
	}
}

func TestTheMostSpecificRuleDecides(t *testing.T) {
	in := injector(t, "a.b throttle=1\na.* partial=1\n*.b internal=1\n*.* late=1", 1)
	for call, want := range map[[2]string]fault.Kind{
		{"a", "b"}: fault.Throttle, {"a", "B"}: fault.Throttle, {"a", "c"}: fault.Partial, {"x", "b"}: fault.Internal, {"x", "y"}: fault.Late,
	} {
		if got := in.Draw(call[0], call[1], "").Kind; got != want {
			t.Errorf("%v: %s, want %s", call, got, want)
		}
	}
}

func TestSwitchAndCount(t *testing.T) {
	in := injector(t, "a.b throttle=1", 1)
	in.Draw("a", "b", "r1")
	in.Switch(false)
	if f := in.Draw("a", "b", "r1"); f != (fault.Fault{}) {
		t.Errorf("switched off, but %v", f)
	}
	in.Switch(true)
	in.Draw("a", "b", "r2")
	if err := in.SetPlan(parse(t, "a.b late=1")); err != nil {
		t.Fatal(err)
	}
	if f := in.Draw("a", "b", "r2"); f.Kind != fault.Late || f.Delay != fault.DefaultDelay {
		t.Errorf("after a new plan: %v", f)
	}
	want := []fault.Count{{Service: "a", Operation: "b", Kind: "late", N: 1}, {Service: "a", Operation: "b", Kind: "throttle", N: 2}}
	if diff := cmp.Diff(want, in.Counts()); diff != "" || in.Total() != 3 {
		t.Errorf("counts %s, total %d", diff, in.Total())
	}
	if err := in.SetPlan(fault.Plan{Delay: -1}); err == nil {
		t.Error("a plan without sense is taken")
	}
}

func TestNilInjectsNothing(t *testing.T) {
	var in *fault.Injector
	if in.Draw("a", "b", "") != (fault.Fault{}) || in.Total() != 0 {
		t.Error("a nil injector injects")
	}
}

func TestConcurrentUse(t *testing.T) {
	in := injector(t, "*.* throttle=0.5", 1)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 500 {
				in.Draw("a", fmt.Sprint(i%2), "")
				in.Switch(true)
			}
		})
	}
	wg.Wait()
	alone := injector(t, "*.* throttle=0.5", 1)
	for range 2000 {
		alone.Draw("a", "0", "")
		alone.Draw("a", "1", "")
	}
	if in.Total() != alone.Total() {
		t.Errorf("%d faults from many goroutines, %d from one", in.Total(), alone.Total())
	}
}

func TestPick(t *testing.T) {
	for seed := range uint64(200) {
		f := fault.Fault{Kind: fault.Partial, Seed: seed}
		hit := f.Pick(10)
		if !slices.Contains(hit, true) || !slices.Equal(hit, f.Pick(10)) {
			t.Errorf("seed %d: %v, then %v", seed, hit, f.Pick(10))
		}
		if one := f.Pick(1); !one[0] || len(f.Pick(0)) != 0 {
			t.Errorf("seed %d: of one %v", seed, one)
		}
	}
}

// FuzzParse: whatever is read is valid.
func FuzzParse(f *testing.F) {
	f.Add(text)
	f.Add("a.b throttle=1;c.* late=0")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := fault.Parse(text)
		if err != nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Errorf("%q is read, and is not valid: %v", text, err)
		}
	})
}
