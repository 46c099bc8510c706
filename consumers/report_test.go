package consumers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/events/correlation"
)

func TestEMFIsTheDocumentedFormat(t *testing.T) {
	var out bytes.Buffer
	j := &journal{}
	run(t, consumers.Config{
		Name: "test", DeadLetters: j, Attempts: 1,
		Handler: j.handler(map[string]error{"000002": consumers.ErrStale, "000003": errors.New("wrong")}),
		Now:     func() time.Time { return streamtest.Start.Add(1500 * time.Millisecond) },
		Observe: consumers.EMF(&out, "Banyan/Test", "prod-test"),
	}, one(t, 1, "a"), one(t, 2, "b"), one(t, 3, "c"))
	want := `{"Applied":1,"Consumer":"test","DeadLetters":1,"Failed":0,"Function":"prod-test","Lag":[1500],"Records":3,"Stale":1,"Unhandled":0,` +
		`"_aws":{"CloudWatchMetrics":[{"Dimensions":[["Function"]],"Metrics":[` +
		`{"Name":"Records","Unit":"Count"},{"Name":"Applied","Unit":"Count"},{"Name":"Stale","Unit":"Count"},` +
		`{"Name":"DeadLetters","Unit":"Count"},{"Name":"Failed","Unit":"Count"},{"Name":"Unhandled","Unit":"Count"},` +
		`{"Name":"Lag","Unit":"Milliseconds"}],"Namespace":"Banyan/Test"}],"Timestamp":1479718801500}}` + "\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out.String(), want)
	}
}

// TestEMFKeepsToItsLimit: a metric has at most 100 values in one document, and
// the worst must be among them.
func TestEMFKeepsToItsLimit(t *testing.T) {
	for _, n := range []int{1, 99, 100, 101, 1000} {
		var out bytes.Buffer
		lags := make([]time.Duration, n)
		for i := range lags {
			lags[i] = time.Duration(i) * time.Millisecond
		}
		consumers.EMF(&out, "n", "f")(t.Context(), consumers.Report{Lags: lags})
		var doc struct{ Lag []float64 }
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil || len(doc.Lag) > 100 || len(doc.Lag) == 0 || doc.Lag[0] != float64(n-1) {
			t.Errorf("%d lags: %v, %v", n, doc.Lag, err)
		}
	}
}

func TestLogging(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		debug bool
		level string // "" is no line
	}{
		"applied":              {nil, false, ""},
		"applied, with detail": {nil, true, "INFO"},
		"failed":               {errors.New("wrong"), false, "ERROR"},
		"stale":                {consumers.ErrStale, false, ""},
	} {
		var out bytes.Buffer
		h := consumers.Logging(slog.New(slog.NewTextHandler(&out, nil)))(func(context.Context, consumers.Message) error { return c.err })
		m := streamtest.Message(t, 1, post("ada", 1))
		if err := h(correlation.With(t.Context(), correlation.IDs{Debug: c.debug}), m); !errors.Is(err, c.err) {
			t.Errorf("%s: the error became %v", name, err)
		}
		line := out.String()
		if c.level == "" != (line == "") || c.level != "" && (!strings.Contains(line, "level="+c.level) || !strings.Contains(line, m.Event.ID)) {
			t.Errorf("%s: %q", name, line)
		}
		if strings.Contains(line, "text 1") {
			t.Errorf("%s: logs the payload: %q", name, line)
		}
	}
}
