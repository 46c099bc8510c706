package warm_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/infra/ops/warm"
	"github.com/banyan-fig/banyan/infra/sandbox/functiontest"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

const ping = `{"banyan-warm":{"holdMs":1}}`

// TestPingIsNotCounted: the business metrics of a consumer do not know of pings.
// Without the wrapper they do, as a batch of nothing.
func TestPingIsNotCounted(t *testing.T) {
	for _, test := range []struct {
		name string
		wrap func(any) lambda.Handler
		want int
	}{
		{"wrapped", warm.Handler, 0},
		{"not wrapped", func(h any) lambda.Handler { return lambda.NewHandler(h) }, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			c := consumer(t, &out)
			h := test.wrap(c.HandleKinesis)
			if _, err := h.Invoke(t.Context(), []byte(ping)); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), "CloudWatchMetrics"); n != test.want {
				t.Errorf("%d lines of metrics: %s", n, &out)
			}
		})
	}
}

// TestBatchesAreCounted: the wrapper does not swallow what is no ping.
func TestBatchesAreCounted(t *testing.T) {
	var out bytes.Buffer
	h := warm.Handler(consumer(t, &out).HandleKinesis)
	batch, err := json.Marshal(awsevents.KinesisEvent{})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := h.Invoke(t.Context(), batch)
	if err != nil || !strings.Contains(string(answer), "batchItemFailures") || strings.Count(out.String(), "CloudWatchMetrics") != 1 {
		t.Errorf("%s, %v, %s", answer, err, &out)
	}
}

func consumer(t *testing.T, out *bytes.Buffer) *consumers.Consumer {
	t.Helper()
	c, err := consumers.New(consumers.Config{
		Name: "c", Policy: consumers.Halt, Handler: func(context.Context, consumers.Message) error { return nil },
		Observe: consumers.EMF(out, "Banyan/Consumers", "busy"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestOnlyPingsArePings: nothing that a client can send is taken for one.
func TestOnlyPingsArePings(t *testing.T) {
	passed := errors.New("passed on")
	h := warm.Handler(func(context.Context, json.RawMessage) error { return passed })
	for payload, want := range map[string]bool{
		ping:                     true,
		` {"banyan-warm": {} } `: true,
		`{"banyan-warm":{"holdMs":1},"body":"x"}`:            false,
		`{"body":"{\"banyan-warm\":{}}"}`:                    false,
		`{"Records":[],"banyan-warm":{}}`:                    false,
		`{"banyan-warm":null}`:                               false,
		`{"banyan-warm":true}`:                               false,
		`{"banyan-warm":{"holdMs":"long"}}`:                  false,
		`["banyan-warm"]`:                                    false,
		`"banyan-warm"`:                                      false,
		`{"banyan-warm":{}` + strings.Repeat(" ", 300) + `}`: false,
	} {
		answer, err := h.Invoke(t.Context(), []byte(payload))
		if got := !errors.Is(err, passed) && strings.Contains(string(answer), "environment"); got != want {
			t.Errorf("%s: taken for a ping: %t (%s, %v)", payload, got, answer, err)
		}
	}
}

func FuzzPing(f *testing.F) {
	f.Add([]byte(ping))
	f.Add([]byte(`{"banyan-warm":{},"a":1}`))
	h := warm.Handler(func(context.Context, json.RawMessage) (string, error) { return "passed on", nil })
	f.Fuzz(func(t *testing.T, payload []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		answer, _ := h.Invoke(ctx, payload)
		if !bytes.Contains(answer, []byte(`{"banyan-warm":`)) {
			return
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(payload, &members); err != nil || len(members) != 1 || members["banyan-warm"] == nil {
			t.Errorf("%q was taken for a ping", payload)
		}
	})
}

func TestHoldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := warm.Handler(func() error { return nil })
		begin := time.Now()
		if _, err := h.Invoke(t.Context(), []byte(`{"banyan-warm":{"holdMs":9223372036854775807}}`)); err != nil || time.Since(begin) != warm.MaxHold {
			t.Errorf("held for %s, %v", time.Since(begin), err)
		}
	})
}

func TestParseConfig(t *testing.T) {
	env := func(functions, hold string) func(string) string {
		return func(name string) string {
			return map[string]string{"WARM_FUNCTIONS": functions, "WARM_HOLD": hold}[name]
		}
	}
	c, err := warm.ParseConfig(env("users:live=3, posts", "100ms"))
	if err != nil || fmt.Sprint(c.Targets) != "[{users:live 3} {posts 1}]" || c.Hold != 100*time.Millisecond {
		t.Errorf("%+v, %v", c, err)
	}
	for _, test := range []struct{ functions, hold, want string }{
		{"", "", "no function is named"},
		{"a=0", "", `"a=0"`},
		{"a=many", "", `"a=many"`},
		{"a=101", "", "use provisioned concurrency for more"},
		{"a b", "", "invalid function"},
		{"a,a", "", "named twice"},
		{"a", "soon", "WARM_HOLD"},
		{"a", "3s", "from 0s to 2s"},
	} {
		if _, err := warm.ParseConfig(env(test.functions, test.hold)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q %q: %v, want %s", test.functions, test.hold, err, test.want)
		}
	}
}
