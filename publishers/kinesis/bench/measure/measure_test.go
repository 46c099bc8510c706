package measure_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/figures"
	"github.com/banyan-fig/banyan/publishers/kinesis/bench/counting"
	"github.com/banyan-fig/banyan/publishers/kinesis/bench/measure"
)

// The SDK's clients keep connections for a while.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

func small(endpoint string) measure.Options {
	return measure.Options{
		Endpoint: endpoint, Events: 2000, Rounds: 1, Sizes: []int{200}, Keys: 1000, ThrottleRun: 300 * time.Millisecond, Pace: 5000,
	}
}

func serve(t *testing.T, streams ...counting.Stream) string {
	t.Helper()
	front := httptest.NewServer(counting.NewServer(streams...))
	t.Cleanup(front.Close)
	return front.URL
}

func TestRunReportsEachFigure(t *testing.T) {
	o := small(serve(t, measure.Streams()...))
	o.Cases = []string{"aggregated-ordered", "aggregated-ordered-envelope-cbor", "aggregated-unordered", "one-shard-throttled"}
	got := make(map[string]figures.Figure)
	if err := measure.Run(t.Context(), o, func(f figures.Figure) { got[f.Case+" "+f.Metric] = f }); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"200B-putrecords cpu_us_per_event",
		"200B-aggregated-ordered cpu_us_per_event",
		"200B-aggregated-ordered cpu_ratio_to_putrecords",
		"200B-aggregated-ordered-envelope-cbor cpu_ratio_to_putrecords",
		"200B-aggregated-ordered cpu_ratio_to_unordered",
		"200B-one-shard-throttled other_keys_throughput_ratio",
	} {
		if f, ok := got[name]; !ok || f.Value <= 0 || f.Least > f.Value || f.Most < f.Value {
			t.Errorf("%s: got %+v", name, f)
		}
	}
	if _, ok := got["200B-aggregated-ordered allocations_per_event_enqueued"]; !ok {
		t.Error("no allocations")
	}
}

// Who leaves events out, or has a stream that loses them, gets no figures.
func TestRunFailsWhenEventsAreMissing(t *testing.T) {
	streams := counting.NewServer(measure.Streams()...)
	empty := counting.NewServer(measure.Streams()...)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/counts/") {
			empty.ServeHTTP(w, r)
			return
		}
		streams.ServeHTTP(w, r)
	}))
	defer front.Close()
	err := measure.Run(t.Context(), small(front.URL), func(f figures.Figure) { t.Errorf("reported %+v", f) })
	if err == nil || !strings.Contains(err.Error(), measure.ErrMissing.Error()) {
		t.Errorf("got %v", err)
	}
}

func TestRunFailsWhenPublishingFails(t *testing.T) {
	for name, streams := range map[string][]counting.Stream{
		"no stream":       nil,
		"other throttled": {{Name: "checked", Shards: 4, Check: true}, {Name: "one", Shards: 1, ThrottleFirst: time.Nanosecond}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := measure.Run(ctx, small(serve(t, streams...)), func(figures.Figure) {}); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestOptionsAreValidated(t *testing.T) {
	for _, change := range []func(*measure.Options){
		func(o *measure.Options) { o.Endpoint = "" },
		func(o *measure.Options) { o.Events = -1 },
		func(o *measure.Options) { o.Rounds = -1 },
		func(o *measure.Options) { o.Keys = 3 },
		func(o *measure.Options) { o.Sizes = []int{10} },
		func(o *measure.Options) { o.Cases = []string{"fast"} },
	} {
		o := small("http://localhost")
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
		if change(&o); o.Validate() == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
