package janitor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/ops/janitor"
	"github.com/banyan-fig/banyan/infra/ops/sweep"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// TestSweep: of nine versions those stay that are new or referred to.
func TestSweep(t *testing.T) {
	w := newWorld(t)
	w.function("api", 9)
	w.alias("api", "live", "1", "2")
	w.alias("api", "old", "3")
	_, err := w.client.PutProvisionedConcurrencyConfig(t.Context(), &lambda.PutProvisionedConcurrencyConfigInput{
		FunctionName: aws.String("api"), Qualifier: aws.String("4"), ProvisionedConcurrentExecutions: aws.Int32(1),
	})
	w.must(err)
	w.function("spared-one", 5)
	r := w.janitor(janitor.Config{Keep: 2, Except: []string{"spared-*"}}).Sweep(t.Context(), false)
	same(t, "versions", w.versions("api"), []int{1, 2, 3, 4, 8, 9})
	same(t, "versions of what is spared", w.versions("spared-one"), []int{1, 2, 3, 4, 5})
	if r.Versions != 3 || r.Stopped != sweep.Done || r.Remaining != 0 || r.Bytes < 3*100 || r.Failures != 0 {
		t.Errorf("report %+v", r)
	}
	if len(r.Swept) != 1 || r.Swept[0].Bytes != r.Bytes || fmt.Sprint(r.Swept[0].Versions) != "[5 6 7]" {
		t.Errorf("swept %+v", r.Swept)
	}
	if _, err := w.client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: aws.String("api")}); err != nil {
		t.Errorf("$LATEST: %v", err)
	}
	if again := w.janitor(janitor.Config{Keep: 2}).Sweep(t.Context(), true); again.Versions != 3 || !again.DryRun || w.count("DeleteFunction") != 3 {
		t.Errorf("a dry run of the spared one: %+v", again)
	}
}

// TestMappedVersionStays: a mapping may name a version, also one that is disabled.
func TestMappedVersionStays(t *testing.T) {
	w := newWorld(t, "AWS_ENDPOINT_URL_KINESIS="+stream(t, "events"))
	w.function("consumer", 4)
	w.function("consume", 4)
	_, err := w.client.CreateEventSourceMapping(t.Context(), &lambda.CreateEventSourceMappingInput{
		FunctionName: aws.String("consumer:2"), Enabled: aws.Bool(false), StartingPosition: types.EventSourcePositionLatest,
		EventSourceArn: aws.String("arn:aws:kinesis:us-east-1:000000000000:stream/events"),
	})
	w.must(err)
	w.janitor(janitor.Config{Keep: 1}).Sweep(t.Context(), false)
	same(t, "versions", w.versions("consumer"), []int{2, 4})
	same(t, "versions of another", w.versions("consume"), []int{4})
}

func TestYoungVersionsStay(t *testing.T) {
	w := newWorld(t)
	w.function("api", 4)
	w.layer("lib", 4)
	j := w.janitor(janitor.Config{Keep: -1, Now: func() time.Time { return time.Now().Add(23 * time.Hour) }})
	if r := j.Sweep(t.Context(), false); r.Versions+r.LayerVersions != 0 {
		t.Errorf("deleted %+v", r)
	}
	j = w.janitor(janitor.Config{Keep: -1, Now: func() time.Time { return time.Now().Add(25 * time.Hour) }})
	if r := j.Sweep(t.Context(), false); r.Versions != 4 || r.LayerVersions != 4 {
		t.Errorf("deleted %+v", r)
	}
}

// TestLayers: what any version of a function has stays, and so does what is shared.
func TestLayers(t *testing.T) {
	w := newWorld(t)
	arns := w.layer("lib", 6)
	w.function("api", 0)
	use := func(arn string) {
		_, err := w.client.UpdateFunctionConfiguration(t.Context(),
			&lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("api"), Layers: []string{arn}})
		w.must(err)
	}
	use(arns[1])
	w.publish("api", "with the second")
	use(arns[2])
	_, err := w.client.AddLayerVersionPermission(t.Context(), &lambda.AddLayerVersionPermissionInput{
		LayerName: aws.String(
			"lib"), VersionNumber: aws.Int64(4), StatementId: aws.String("s"), Action: aws.String("lambda:GetLayerVersion"), Principal: aws.String("111111111111"),
	})
	w.must(err)
	r := w.janitor(janitor.Config{Keep: 1}).Sweep(t.Context(), true)
	same(t, "versions after a dry run", w.layerVersions("lib"), []int64{1, 2, 3, 4, 5, 6})
	if r.LayerVersions != 2 || r.Bytes == 0 {
		t.Errorf("dry run %+v", r)
	}
	r = w.janitor(janitor.Config{Keep: 1}).Sweep(t.Context(), false)
	same(t, "versions", w.layerVersions("lib"), []int64{2, 3, 4, 6})
	if r.LayerVersions != 2 || !r.Swept[0].Layer || r.Swept[0].Bytes == 0 {
		t.Errorf("report %+v", r)
	}
}

// TestUseIsReadEachRound: what a function took up since the last one stays, what it
// put down goes.
func TestUseIsReadEachRound(t *testing.T) {
	w := newWorld(t)
	use := func(arn string) {
		_, err := w.client.UpdateFunctionConfiguration(t.Context(),
			&lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("api"), Layers: []string{arn}})
		w.must(err)
	}
	w.function("api", 0)
	use(w.layer("lib", 3)[0])
	j := w.janitor(janitor.Config{Keep: 1})
	j.Sweep(t.Context(), false)
	same(t, "versions", w.layerVersions("lib"), []int64{1, 3})
	use(w.layer("lib", 2)[0])
	j.Sweep(t.Context(), false)
	same(t, "versions a round later", w.layerVersions("lib"), []int64{4, 5})
}

// TestAliasMovesBeforeTheDeletion: a deploy moves an alias to an old version after
// the janitor has listed them.
func TestAliasMovesBeforeTheDeletion(t *testing.T) {
	w := newWorld(t)
	w.function("api", 5)
	w.alias("api", "live", "5")
	var once sync.Once
	w.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/provisioned-concurrency") {
			once.Do(func() { w.move("api", "live", "2") })
		}
		return false
	})
	r := w.janitor(janitor.Config{Keep: 1}).Sweep(t.Context(), false)
	same(t, "versions", w.versions("api"), []int{2, 5})
	if r.Refused != 0 || r.Versions != 3 {
		t.Errorf("report %+v", r)
	}
}

func (w *world) move(function, alias, version string) {
	_, err := w.client.UpdateAlias(context.Background(), &lambda.UpdateAliasInput{FunctionName: &function, Name: &alias, FunctionVersion: &version})
	if err != nil {
		w.t.Error(err)
	}
}

// TestAliasMovesDuringTheDeletion: between the last look and the deletion only
// Lambda can refuse, and does; the rest goes on.
func TestAliasMovesDuringTheDeletion(t *testing.T) {
	w := newWorld(t)
	w.function("api", 5)
	w.alias("api", "live", "5")
	w.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if deletion(r) && r.URL.Query().Get("Qualifier") == "2" {
			w.move("api", "live", "2")
		}
		return false
	})
	r := w.janitor(janitor.Config{Keep: 1}).Sweep(t.Context(), false)
	same(t, "versions", w.versions("api"), []int{2, 5})
	if r.Refused != 1 || r.Versions != 3 || r.Stopped != sweep.Done || !strings.Contains(r.Swept[0].Why, "in use by alias live") {
		t.Errorf("report %+v", r)
	}
}

// TestReplicaIsPassedOver: Lambda@Edge refuses with an error of its own, which made
// other janitors stop at it for good.
func TestReplicaIsPassedOver(t *testing.T) {
	w := newWorld(t)
	w.function("edge", 4)
	w.function("later", 4)
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !deletion(r) || !strings.Contains(r.URL.Path, "/edge") {
			return false
		}
		rw.Header().Set("X-Amzn-Errortype", "InvalidParameterValueException")
		rw.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(rw, `{"Type":"User","message":"Lambda was unable to delete it because it is a replicated function."}`)
		return true
	})
	r := w.janitor(janitor.Config{Keep: 1}).Sweep(t.Context(), false)
	same(t, "versions", w.versions("later"), []int{4})
	if r.Refused != 3 || r.Versions != 3 || r.Failures != 0 || r.Stopped != sweep.Done {
		t.Errorf("report %+v", r)
	}
}

// TestThrottleEndsTheSweepQuietly: without a retry, and the next sweep goes on
// there.
func TestThrottleEndsTheSweepQuietly(t *testing.T) {
	w := newWorld(t)
	for i := range 6 {
		w.function(fmt.Sprintf("f%d", i), 3)
	}
	j := w.janitor(janitor.Config{Keep: 1, Intn: func(int) int { return 0 }})
	n, throttles := 0, 0
	w.inject(func(operation, _ string) fault.Fault {
		if operation != "DeleteFunction" {
			return fault.Fault{}
		}
		if n++; n%4 == 0 {
			throttles++
			return fault.Fault{Kind: fault.Throttle}
		}
		return fault.Fault{}
	})
	listed := w.count("ListFunctions")
	sweeps, deleted := 0, 0
	for {
		r := j.Sweep(t.Context(), false)
		sweeps++
		deleted += r.Versions
		if r.Failures != 0 || sweeps > 20 {
			t.Fatalf("sweep %d: %+v", sweeps, r)
		}
		if r.Stopped == sweep.Done {
			break
		}
		if r.Stopped != sweep.Throttled || r.Remaining == 0 {
			t.Errorf("sweep %d: %+v", sweeps, r)
		}
	}
	if deleted != 12 || throttles != sweeps-1 || sweeps < 3 {
		t.Errorf("%d sweeps deleted %d versions, throttled %d times", sweeps, deleted, throttles)
	}
	if got := w.count("ListFunctions") - listed; got != 1 {
		t.Errorf("the functions were listed %d times in one round", got)
	}
}

// TestThrottledListingGoesOn: the pages that were read are kept.
func TestThrottledListingGoesOn(t *testing.T) {
	w := newWorld(t)
	for i := range 120 {
		w.function(fmt.Sprintf("f%03d", i), 0)
	}
	lists := 0
	w.inject(func(operation, _ string) fault.Fault {
		if operation == "ListFunctions" {
			if lists++; lists%2 == 0 {
				return fault.Fault{Kind: fault.Throttle}
			}
		}
		return fault.Fault{}
	})
	j := w.janitor(janitor.Config{})
	var stopped []string
	for range 3 {
		stopped = append(stopped, j.Sweep(t.Context(), false).Stopped)
	}
	same(t, "sweeps", stopped, []string{sweep.Throttled, sweep.Throttled, sweep.Done})
	if lists != 5 {
		t.Errorf("%d pages were asked for", lists)
	}
}

// TestDeadline: nothing is begun that could not end, and the next sweep goes on.
func TestDeadline(t *testing.T) {
	w := newWorld(t)
	w.function("api", 8)
	j, err := janitor.New(w.client,
		janitor.Config{Keep: 1, Reserve: 5 * time.Second, Rate: 5, Now: func() time.Time { return time.Now().Add(48 * time.Hour) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 6500*time.Millisecond)
	defer cancel()
	r := j.Sweep(ctx, false)
	if deadline, _ := ctx.Deadline(); r.Stopped != sweep.Deadline || r.Remaining != 1 || time.Until(deadline) < 100*time.Millisecond {
		t.Errorf("report %+v with %s left", r, time.Until(deadline))
	}
	janitor.Hurry(j)
	if r := j.Sweep(t.Context(), false); r.Stopped != sweep.Done {
		t.Errorf("then %+v", r)
	}
	same(t, "versions", w.versions("api"), []int{8})
}

// TestColdStartsStarveNoItem: a new execution environment each time, that comes no
// further than a few functions, reaches all of them.
func TestColdStartsStarveNoItem(t *testing.T) {
	r := seed(t)
	w := newWorld(t)
	const functions = 12
	for i := range functions {
		w.function(fmt.Sprintf("f%02d", i), 2)
	}
	deleted, sweeps := 0, 0
	for ; deleted < functions && sweeps < 400; sweeps++ {
		requests := 0
		w.inject(func(string, string) fault.Fault {
			if requests++; requests > 9 {
				return fault.Fault{Kind: fault.Throttle}
			}
			return fault.Fault{}
		})
		deleted += w.janitor(janitor.Config{Keep: 1, Intn: r.IntN}).Sweep(t.Context(), false).Versions
	}
	if deleted != functions {
		t.Errorf("%d of %d functions were reached in %d sweeps", deleted, functions, sweeps)
	}
}

// TestTwoAtOnceUnderFaults: whatever is throttled, lost or answered by nobody, and
// with two janitors at work, what is referred to stays, all else goes in the end,
// and the bytes are counted once.
func TestTwoAtOnceUnderFaults(t *testing.T) {
	r := seed(t)
	w := newWorld(t)
	for i := range 5 {
		name := fmt.Sprintf("f%d", i)
		w.function(name, 6)
		w.alias(name, "live", "2", "3")
	}
	var mu sync.Mutex
	odds := rand.New(rand.NewPCG(r.Uint64(), 3))
	w.inject(func(string, string) fault.Fault {
		mu.Lock()
		defer mu.Unlock()
		switch n := odds.IntN(100); {
		case n < 5:
			return fault.Fault{Kind: fault.Throttle}
		case n < 10:
			return fault.Fault{Kind: fault.Internal}
		case n < 13:
			return fault.Fault{Kind: fault.TimeoutBefore}
		case n < 16:
			return fault.Fault{Kind: fault.TimeoutAfter}
		}
		return fault.Fault{}
	})
	var wg sync.WaitGroup
	deleted := make([]int, 2)
	for i := range deleted {
		wg.Go(func() {
			for range 15 {
				j := w.janitor(janitor.Config{Keep: 1}) // and each dies after its sweep
				deleted[i] += j.Sweep(t.Context(), false).Versions
			}
		})
	}
	wg.Wait()
	w.inject(nil)
	last := w.janitor(janitor.Config{Keep: 1}).Sweep(t.Context(), false)
	if n := deleted[0] + deleted[1] + last.Versions; n > 15 {
		t.Errorf("%d versions were counted as deleted, of 15", n)
	}
	for i := range 5 {
		same(t, "versions", w.versions(fmt.Sprintf("f%d", i)), []int{2, 3, 6})
	}
}

// TestFailuresEndTheSweep: what goes wrong is counted and does not make the
// function fail.
func TestFailuresEndTheSweep(t *testing.T) {
	w := newWorld(t)
	for i := range 9 {
		w.function(fmt.Sprintf("f%d", i), 1)
	}
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/versions") {
			return false
		}
		rw.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, `{"Message":"not authorized to perform lambda:ListVersionsByFunction"}`)
		return true
	})
	var log, out bytes.Buffer
	h := janitor.Handler(w.janitor(janitor.Config{}), slog.New(slog.NewJSONHandler(&log, nil)), emf.New(&out, "N"))
	r, err := h(t.Context(), json.RawMessage(`{"source":"aws.events"}`))
	if err != nil || r.Stopped != sweep.Failed || r.Failures != 6 || r.Remaining != 5 {
		t.Errorf("%+v, %v", r, err)
	}
	if !strings.Contains(log.String(), "not authorized to perform lambda:ListVersionsByFunction") || !strings.Contains(out.String(), `"Failures":6`) {
		t.Errorf("log %s\nmetrics %s", &log, &out)
	}
}

func TestHandler(t *testing.T) {
	w := newWorld(t)
	w.function("api", 3)
	for event, want := range map[string]string{`{"dryRun":true}`: `"VersionsFound":2`, `"dryRun"`: `"VersionsFound":2`} {
		var out bytes.Buffer
		h := janitor.Handler(w.janitor(janitor.Config{Keep: 1}), slog.New(slog.DiscardHandler), emf.New(&out, "Banyan/Operations"))
		if _, err := h(t.Context(), json.RawMessage(event)); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s, %v", event, &out, err)
		}
	}
	if r := w.janitor(janitor.Config{Keep: 1, DryRun: true}).Sweep(t.Context(), false); !r.DryRun || r.Versions != 2 || w.count("DeleteFunction") != 0 {
		t.Errorf("a dry run by the settings: %+v", r)
	}
	var out bytes.Buffer
	h := janitor.Handler(w.janitor(janitor.Config{Keep: 1}), slog.New(slog.DiscardHandler), emf.New(&out, "Banyan/Operations"))
	if _, err := h(t.Context(), json.RawMessage(`{}`)); err != nil || !strings.Contains(out.String(), `"VersionsDeleted":2`) {
		t.Errorf("%s, %v", &out, err)
	}
}

func TestParseConfig(t *testing.T) {
	env := func(m map[string]string) func(string) string { return func(name string) string { return m[name] } }
	c, err := janitor.ParseConfig(
		env(map[string]string{"JANITOR_KEEP": "0", "JANITOR_GRACE": "1h", "JANITOR_RATE": "2.5", "JANITOR_EXCEPT": "a-*, b", "JANITOR_DRY_RUN": "true",
			"JANITOR_ALIAS_DAYS": "90", "JANITOR_ALIAS_KEEP": "5", "JANITOR_ALIAS_EXCEPT": "prod,live"}))
	if c.AliasAge != 90*24*time.Hour || c.AliasKeep != 5 || len(c.AliasExcept) != 2 {
		t.Errorf("aliases: %+v", c)
	}
	if err != nil || c.Keep != -1 || c.Grace != time.Hour || c.Rate != 2.5 || len(c.Except) != 2 || !c.DryRun {
		t.Errorf("%+v, %v", c, err)
	}
	_, err = janitor.ParseConfig(
		env(map[string]string{"JANITOR_KEEP": "-1", "JANITOR_GRACE": "day", "JANITOR_RATE": "x", "JANITOR_EXCEPT": "[", "JANITOR_DRY_RUN": "maybe"}))
	for _, want := range []string{"JANITOR_KEEP", "JANITOR_GRACE", "JANITOR_RATE", "JANITOR_DRY_RUN", `invalid pattern "["`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
	for name, value := range map[string]string{"JANITOR_GRACE": "0s", "JANITOR_RATE": "NaN", "JANITOR_KEEP": "1.5",
		"JANITOR_ALIAS_DAYS": "0", "JANITOR_ALIAS_KEEP": "few"} {
		if _, err := janitor.ParseConfig(env(map[string]string{name: value})); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
}
