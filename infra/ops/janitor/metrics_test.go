package janitor_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/ops/janitor"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// TestMetricsAreUnderTheDeployedName: an alarm on the function's name finds them,
// whatever it is called.
func TestMetricsAreUnderTheDeployedName(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct{ deployed, want string }{{"production-janitor", "production-janitor"}, {"", "janitor"}} {
		t.Setenv("AWS_LAMBDA_FUNCTION_NAME", test.deployed)
		var out bytes.Buffer
		h := janitor.Handler(w.janitor(janitor.Config{}), slog.New(slog.DiscardHandler), emf.New(&out, "N"))
		if _, err := h(t.Context(), json.RawMessage(`{}`)); err != nil || !strings.Contains(out.String(), `"Function":"`+test.want+`"`) {
			t.Errorf("deployed as %q: %s, %v", test.deployed, &out, err)
		}
	}
}
