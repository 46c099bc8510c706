package janitor_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
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
)

// first picks the begin of the list.
func first(int) int { return 0 }

func answer(rw http.ResponseWriter, status int, code, message string) bool {
	rw.Header().Set("X-Amzn-Errortype", code)
	rw.WriteHeader(status)
	_, _ = fmt.Fprintf(rw, `{"message":%q}`, message)
	return true
}

// TestRehearsalIsOfEverything: a dry run in between does not go on where the
// sweeps that delete have come to, nor moves their place.
func TestRehearsalIsOfEverything(t *testing.T) {
	w := newWorld(t)
	for i := range 4 {
		w.function(fmt.Sprintf("f%d", i), 3)
	}
	j := w.janitor(janitor.Config{Keep: 1, Intn: first})
	deletions := 0
	w.inject(func(operation, _ string) fault.Fault {
		if operation == "DeleteFunction" {
			if deletions++; deletions == 4 {
				return fault.Fault{Kind: fault.Throttle}
			}
		}
		return fault.Fault{}
	})
	if r := j.Sweep(t.Context(), false); r.Stopped != sweep.Throttled || r.Looked != 1 || r.Remaining != 3 || r.Versions != 3 {
		t.Errorf("a throttled sweep: %+v", r)
	}
	if r := j.Sweep(t.Context(), true); r.Stopped != sweep.Done || r.Looked != 4 || r.Versions != 5 {
		t.Errorf("the rehearsal: %+v", r)
	}
	if r := j.Sweep(t.Context(), false); r.Stopped != sweep.Done || r.Looked != 3 || r.Versions != 5 {
		t.Errorf("the rest: %+v", r)
	}
}

// TestPlaceInsideAFunction: one whose versions cannot go, more of them than a sweep
// has time for, does not keep the others from their turn.
func TestPlaceInsideAFunction(t *testing.T) {
	w := newWorld(t)
	w.function("edge", 9)
	w.function("later", 3)
	asked := map[string]int{}
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if !deletion(r) || !strings.Contains(r.URL.Path, "/edge") {
			return false
		}
		asked[r.URL.Query().Get("Qualifier")]++
		if len(asked)%3 == 0 && asked["throttle"] < len(asked)/3 {
			asked["throttle"]++
			return answer(rw, http.StatusTooManyRequests, "TooManyRequestsException", "slow down")
		}
		return answer(rw, http.StatusBadRequest, "InvalidParameterValueException", "it is a replicated function")
	})
	j := w.janitor(janitor.Config{Keep: 1, Intn: first})
	sweeps, refused := 0, 0
	for stopped := ""; stopped != sweep.Done && sweeps < 9; sweeps++ {
		r := j.Sweep(t.Context(), false)
		stopped = r.Stopped
		refused += r.Refused
	}
	if refused != 8 || sweeps < 3 || sweeps > 5 {
		t.Errorf("%d refusals in %d sweeps", refused, sweeps)
	}
	same(t, "versions", w.versions("later"), []int{3})
}

// TestPlaceInsideALayer, and inside the list of what is in use.
func TestPlaceInsideALayer(t *testing.T) {
	w := newWorld(t)
	arns := w.layer("lib", 6)
	for i := range 40 {
		w.function(fmt.Sprintf("f%02d", i), 1)
	}
	_, err := w.client.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: aws.String("f00"), Layers: arns[1:2]})
	w.must(err)
	_, err = w.client.AddLayerVersionPermission(t.Context(), &lambda.AddLayerVersionPermissionInput{
		LayerName: aws.String(
			"lib"), VersionNumber: aws.Int64(1), StatementId: aws.String("s"), Action: aws.String("lambda:GetLayerVersion"), Principal: aws.String("111111111111"),
	})
	w.must(err)
	lists, policies, late := 0, 0, false
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Query().Get("FunctionVersion") == "ALL":
			lists++
			late = !late
			return !late && answer(rw, http.StatusTooManyRequests, "TooManyRequestsException", "slow down")
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/policy"):
			policies++
			return policies%2 == 0 && answer(rw, http.StatusTooManyRequests, "TooManyRequestsException", "slow down")
		}
		return false
	})
	j := w.janitor(janitor.Config{Keep: 1, Intn: first})
	sweeps, deleted := 0, 0
	for stopped := ""; stopped != sweep.Done && sweeps < 20; sweeps++ {
		r := j.Sweep(t.Context(), false)
		stopped = r.Stopped
		deleted += r.LayerVersions
	}
	same(t, "versions", w.layerVersions("lib"), []int64{1, 2, 6})
	if deleted != 3 || lists != 3 || policies != 7 {
		t.Errorf("%d sweeps deleted %d, read %d pages of uses and %d policies", sweeps, deleted, lists, policies)
	}
}

// TestThrottledAtAnyRate: all of it goes in the end, what is referred to stays, and
// the bytes reported are those that went.
func TestThrottledAtAnyRate(t *testing.T) {
	for _, percent := range []int{3, 20, 40} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			r := seed(t)
			w := newWorld(t)
			w.layer("lib", 5)
			for i := range 4 {
				w.function(fmt.Sprintf("f%d", i), 6)
			}
			w.alias("f1", "live", "1", "3")
			before := w.stored()
			var mu sync.Mutex
			w.inject(func(string, string) fault.Fault {
				mu.Lock()
				defer mu.Unlock()
				if r.IntN(100) < percent {
					return fault.Fault{Kind: fault.Throttle}
				}
				return fault.Fault{}
			})
			j := w.janitor(janitor.Config{Keep: 2})
			var freed int64
			sweeps := 0
			for stopped := ""; stopped != sweep.Done && sweeps < 3000; sweeps++ {
				report := j.Sweep(t.Context(), false)
				stopped, freed = report.Stopped, freed+report.Bytes
				if report.Failures > 0 {
					t.Fatalf("%+v", report)
				}
			}
			w.inject(nil)
			same(t, "versions", w.versions("f0"), []int{5, 6})
			same(t, "versions with aliases", w.versions("f1"), []int{1, 3, 5, 6})
			same(t, "versions of a layer", w.layerVersions("lib"), []int64{4, 5})
			if gone := before - w.stored(); gone != freed || freed == 0 {
				t.Errorf("%d bytes went, %d are reported, in %d sweeps", gone, freed, sweeps)
			}
		})
	}
}

// stored is the bytes of all versions of functions and layers.
func (w *world) stored() (n int64) {
	w.t.Helper()
	p := lambda.NewListFunctionsPaginator(w.client, &lambda.ListFunctionsInput{FunctionVersion: types.FunctionVersionAll})
	for p.HasMorePages() {
		page, err := p.NextPage(w.t.Context())
		w.must(err)
		for _, f := range page.Functions {
			n += f.CodeSize
		}
	}
	for _, v := range w.layerVersions("lib") {
		out, err := w.client.GetLayerVersion(w.t.Context(), &lambda.GetLayerVersionInput{LayerName: aws.String("lib"), VersionNumber: &v})
		w.must(err)
		n += out.Content.CodeSize
	}
	return n
}

// TestDeletedMeanwhile: a function that goes at any moment of its turn is no
// failure, and the others have theirs.
func TestDeletedMeanwhile(t *testing.T) {
	for _, at := range []string{"/versions", "/provisioned-concurrency", "/aliases", "DELETE"} {
		w := newWorld(t)
		w.function("a", 3)
		w.function("b", 3)
		var once sync.Once
		w.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, "/functions/a") && (strings.HasSuffix(r.URL.Path, at) || r.Method == at) {
				once.Do(func() {
					w.intercept(nil)
					_, err := w.client.DeleteFunction(context.Background(), &lambda.DeleteFunctionInput{FunctionName: aws.String("a")})
					if err != nil {
						t.Error(err)
					}
				})
			}
			return false
		})
		r := w.janitor(janitor.Config{Keep: 1, Intn: first}).Sweep(t.Context(), false)
		if r.Failures != 0 || r.Versions != 2 || r.Looked != 2 || r.Stopped != sweep.Done {
			t.Errorf("deleted at %s: %+v", at, r)
		}
		same(t, "versions", w.versions("b"), []int{3})
	}
}

// TestTooLittleTimeIsLogged: a timeout that leaves none would look like a clean
// region.
func TestTooLittleTimeIsLogged(t *testing.T) {
	w := newWorld(t)
	w.function("api", 5)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	r := w.janitor(janitor.Config{}).Sweep(ctx, false)
	var log bytes.Buffer
	r.Log(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
	if r.Stopped != sweep.Deadline || r.Looked != 0 || !strings.Contains(log.String(), "give the function a longer timeout") {
		t.Errorf("%+v\n%s", r, &log)
	}
}

// TestReportIsForPeople: sums and sizes are said in one sentence.
func TestReportIsForPeople(t *testing.T) {
	for _, test := range []struct {
		report janitor.Report
		want   string
	}{
		{janitor.Report{Versions: 51, LayerVersions: 3, Bytes: 7_446, DryRun: true}, "would have deleted 51 versions of functions and 3 of layers, 7.446 kB"},
		{janitor.Report{Versions: 1, Bytes: 999}, "deleted 1 versions of functions and 0 of layers, 999 B"},
		{janitor.Report{Bytes: 19_999_999_999}, ", 20 GB"},
	} {
		var log bytes.Buffer
		test.report.Log(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
		if !strings.Contains(log.String(), test.want) {
			t.Errorf("%s, want %q", &log, test.want)
		}
	}
}

// TestAListingThatFailsBeginsAnew: a marker that is refused is not asked with for
// ever.
func TestAListingThatFailsBeginsAnew(t *testing.T) {
	w := newWorld(t)
	for i := range 60 {
		w.function(fmt.Sprintf("f%02d", i), 0)
	}
	begun := 0
	w.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Get("Marker") == "" {
			begun++
			return false
		}
		return begun == 1 && answer(rw, http.StatusBadRequest, "InvalidParameterValueException", "the marker is too old")
	})
	j := w.janitor(janitor.Config{})
	if r := j.Sweep(t.Context(), false); r.Stopped != sweep.Failed || len(r.Errors) != 1 || !strings.Contains(r.Errors[0], "too old") {
		t.Errorf("%+v", r)
	}
	if r := j.Sweep(t.Context(), false); r.Stopped != sweep.Done || r.Looked != 60 {
		t.Errorf("%+v", r)
	}
}
