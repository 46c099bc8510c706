package kinesis_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	sandbox "github.com/banyan-fig/banyan/infra/sandbox/kinesis"
)

func isInUse(err error) bool {
	_, ok := errors.AsType[*types.ResourceInUseException](err)
	return ok
}

// faulty is a world under a plan that is switched on once its stream exists.
func faulty(t *testing.T, plan string, seed uint64) (*world, *fault.Injector) {
	t.Helper()
	p, err := fault.Parse(plan)
	must(t, err)
	in, err := fault.New(p, seed)
	must(t, err)
	in.Switch(false)
	w := newWorld(t, sandbox.Config{Fault: func(op, stream string) fault.Fault { return in.Draw("kinesis", op, stream) }}, 1)
	in.Switch(true)
	return w, in
}

func (w *world) putAll(t *testing.T, data ...string) (*kinesis.PutRecordsOutput, error) {
	t.Helper()
	var entries []types.PutRecordsRequestEntry
	for _, d := range data {
		entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: []byte(d)})
	}
	return w.client.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: &w.stream, Records: entries})
}

func (w *world) kept(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	for _, r := range w.get(t, w.iterator(t, firstShard)).Records {
		out.Write(r.Data)
	}
	return out.String()
}

// TestPartialFailure: what failed is not kept, what did not is, in its order.
func TestPartialFailure(t *testing.T) {
	w, _ := faulty(t, "kinesis.PutRecords partial=1", 5)
	out, err := w.putAll(t, "a", "b", "c", "d", "e", "f")
	must(t, err)
	want := ""
	for i, r := range out.Records {
		if r.ErrorCode == nil {
			want += string(rune('a' + i))
		}
	}
	if got := w.kept(t); got != want || *out.FailedRecordCount != int32(6-len(want)) || len(want) == 6 {
		t.Errorf("kept %q, told %q, %d failed", got, want, *out.FailedRecordCount)
	}
}

func TestFaultsAreTheSameForASeed(t *testing.T) {
	results := func(seed uint64) (out []string) {
		w, _ := faulty(t, "kinesis.PutRecords partial=0.4 throttle=0.2", seed)
		for range 30 {
			got, err := w.putAll(t, "a", "b", "c")
			if err != nil {
				out = append(out, "throttled")
				continue
			}
			for _, r := range got.Records {
				out = append(out, aws.ToString(r.ErrorCode))
			}
		}
		return out
	}
	if a, b := results(3), results(3); !slices.Equal(a, b) {
		t.Errorf("seed 3 gave %q, then %q", a, b)
	}
	if slices.Equal(results(3), results(4)) {
		t.Error("seeds 3 and 4 gave the same")
	}
}

func TestTimeoutsTellNothingAboutTheEffect(t *testing.T) {
	for plan, want := range map[string]string{"delay 1ms;kinesis.PutRecords timeout-before=1": "", "delay 1ms;kinesis.PutRecords timeout-after=1": "ab"} {
		w, in := faulty(t, plan, 1)
		if _, err := w.putAll(t, "a", "b"); err == nil {
			t.Errorf("%s: there was an answer", plan)
		}
		if got := w.kept(t); got != want || in.Total() != 1 {
			t.Errorf("%s: kept %q, want %q; %d faults", plan, got, want, in.Total())
		}
	}
}

func TestDuplicateAndLate(t *testing.T) {
	w, in := faulty(t, "kinesis.PutRecords duplicate=1", 1)
	_, err := w.putAll(t, "a", "b")
	must(t, err)
	if got := w.kept(t); got != "abab" {
		t.Errorf("kept %q", got)
	}
	late, err := fault.Parse("kinesis.GetRecords late=1")
	must(t, err)
	must(t, in.SetPlan(late))
	w.advance(time.Second)
	out := w.get(t, w.iterator(t, firstShard))
	if len(out.Records) != 0 || *out.MillisBehindLatest != 1000 {
		t.Errorf("%d records, %d ms behind", len(out.Records), *out.MillisBehindLatest)
	}
	in.Switch(false)
	want(t, "records then", len(w.get(t, out.NextShardIterator).Records), 4)
}

// TestEndpointsWithAnAccount: newer clients put the account into the host.
func TestEndpointsWithAnAccount(t *testing.T) {
	server, err := sandbox.New(sandbox.Config{})
	must(t, err)
	r := httptest.NewRequest(http.MethodPost, "http://000000000000.data-kinesis.us-east-1.amazonaws.com/",
		strings.NewReader(`{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/x"}`))
	r.Header.Set("X-Amz-Target", "Kinesis_20131202.ListShards")
	w := httptest.NewRecorder()
	server.ServeHTTP(w, r)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "Stream x under account 000000000000 not found") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
