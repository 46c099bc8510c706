package emf_test

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func line() emf.Line {
	return emf.Line{
		At:         time.UnixMilli(1_700_000_000_123),
		Dimensions: map[string]string{"Stream": "events", "Account": "a"},
		Metrics:    []emf.Metric{{Name: "Shards", Unit: emf.Count, Value: 4}, {Name: "Freed", Unit: emf.Bytes, Value: 1.5}},
		Properties: map[string]any{"Reason": "calm"},
	}
}

func ExampleWriter() {
	emf.New(os.Stdout, "Shop").Write(emf.Line{
		At:      time.UnixMilli(1000),
		Metrics: []emf.Metric{{Name: "Sales", Unit: emf.Count, Value: 4}},
	})
	// Output: {"Sales":4,"_aws":{"CloudWatchMetrics":[{"Dimensions":[[]],"Metrics":[{"Name":"Sales","Unit":"Count"}],"Namespace":"Shop"}],"Timestamp":1000}}
}

func TestDocumentIsTheFormat(t *testing.T) {
	var out bytes.Buffer
	emf.New(&out, "Banyan/Operations").Write(line())
	want := `{"Account":"a","Freed":1.5,"Reason":"calm","Shards":4,"Stream":"events","_aws":{"CloudWatchMetrics":[{` +
		`"Dimensions":[["Account","Stream"]],"Metrics":[{"Name":"Shards","Unit":"Count"},{"Name":"Freed","Unit":"Bytes"}],` +
		`"Namespace":"Banyan/Operations"}],"Timestamp":1700000000123}}` + "\n"
	if out.String() != want {
		t.Errorf("wrote %swant  %s", &out, want)
	}
}

func TestLinesAreWholeOrAbsent(t *testing.T) {
	var out bytes.Buffer
	w := emf.New(&out, "N")
	l := line()
	l.Metrics[0].Value = math.NaN()
	w.Write(l)
	w.Write(line())
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines: %s", n, &out)
	}
}

func TestSeveralValuesOfOneMetric(t *testing.T) {
	var out bytes.Buffer
	emf.New(&out, "N").Write(emf.Line{Metrics: []emf.Metric{{Name: "Memory", Unit: emf.Megabytes, Values: []float64{3, 1}}}})
	if !strings.Contains(out.String(), `"Memory":[3,1]`) {
		t.Errorf("written: %s", &out)
	}
}
