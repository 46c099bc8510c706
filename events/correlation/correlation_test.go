package correlation_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events/correlation"
)

const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

var traceForm = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$`)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestFromHeaderKeepsWhatIsThere(t *testing.T) {
	got := correlation.FromHeader(header("traceparent", trace, "X-Correlation-Id", "corr", "X-Causation-Id", "cause", "X-Debug", "true", "call-chain-length", "4"))
	if want := (correlation.IDs{TraceParent: trace, CorrelationID: "corr", CausationID: "cause", Debug: true, Chain: 4}); got != want {
		t.Errorf("got %+v", got)
	}
}

func TestFromHeaderMakesWhatIsMissing(t *testing.T) {
	got := correlation.FromHeader(http.Header{})
	if !traceForm.MatchString(got.TraceParent) || len(got.CorrelationID) != 36 || got.CausationID != got.CorrelationID || got.Debug {
		t.Errorf("got %+v", got)
	}
	if again := correlation.FromHeader(http.Header{}); again.CorrelationID == got.CorrelationID || again.TraceParent == got.TraceParent {
		t.Error("two requests share their ids")
	}
}

func TestFromHeaderReplacesWhatIsUnusable(t *testing.T) {
	for _, id := range []string{strings.Repeat("x", 129), "a b", "a\nb", "é", "\x7f"} {
		if got := correlation.FromHeader(header("X-Correlation-Id", id)); got.CorrelationID == id {
			t.Errorf("kept %q", id)
		}
	}
}

func TestTraceParent(t *testing.T) {
	for given, kept := range map[string]string{
		trace:                      trace,
		"cc" + trace[2:]:           trace,
		"cc" + trace[2:] + "-more": trace,
		"ff" + trace[2:]:           "",
		trace + "-more":            "",
		trace + "x":                "",
		strings.ToUpper(trace):     "",
		strings.Replace(trace, "0af7651916cd43dd8448eb211c80319c", strings.Repeat("0", 32), 1): "",
		strings.Replace(trace, "b7ad6b7169203331", strings.Repeat("0", 16), 1):                 "",
		"00-1-2-3": "",
	} {
		got := correlation.FromHeader(header("traceparent", given)).TraceParent
		if kept != "" && got != kept {
			t.Errorf("%s: got %s", given, got)
		}
		if kept == "" && (got == given || !traceForm.MatchString(got)) {
			t.Errorf("%s: became %s", given, got)
		}
	}
}

func TestMiddlewareAndInjectCarryTheIDsOn(t *testing.T) {
	var outgoing http.Header
	h := correlation.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		outgoing = http.Header{}
		correlation.Inject(r.Context(), outgoing)
	}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header = header("traceparent", trace, "X-Correlation-Id", "corr", "X-Debug", "1")
	h.ServeHTTP(httptest.NewRecorder(), r)
	for name, want := range map[string]string{"traceparent": trace, "X-Correlation-Id": "corr", "X-Causation-Id": "corr", "X-Debug": "true"} {
		if got := outgoing.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestInjectLeavesWhatItDoesNotKnow(t *testing.T) {
	h := header("X-Correlation-Id", "theirs")
	correlation.Inject(context.Background(), h)
	if len(h) != 1 || h.Get("X-Correlation-Id") != "theirs" {
		t.Errorf("got %v", h)
	}
}

// TestAttributesComeBack: what a message is sent with is what its reader gets, in any case of
// the names, and what DAZN's powertools send is understood.
func TestAttributesComeBack(t *testing.T) {
	for _, want := range []correlation.IDs{
		{}, {CorrelationID: "corr"}, {TraceParent: trace, CorrelationID: "corr", CausationID: "cause", Debug: true, Chain: 7},
	} {
		upper := map[string]string{}
		for name, value := range want.Attributes() {
			upper[strings.ToUpper(name)] = value
		}
		if got := correlation.FromAttributes(upper); got != want {
			t.Errorf("%v came back as %+v, want %+v", upper, got, want)
		}
	}
	got := correlation.FromAttributes(map[string]string{
		"x-correlation-id": "dazn", "debug-log-enabled": "true", "call-chain-length": "2", "x-correlation-user": "ada", "User-Agent": "a",
	})
	if want := (correlation.IDs{CorrelationID: "dazn", Debug: true, Chain: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for _, unusable := range []string{"-1", "x", "", "1e3"} {
		if got := correlation.FromAttributes(map[string]string{"call-chain-length": unusable, "x-correlation-id": "a\nb"}); got != (correlation.IDs{}) {
			t.Errorf("%q: %+v", unusable, got)
		}
	}
}
