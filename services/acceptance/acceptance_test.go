package acceptance_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/services/acceptance"
)

var orders = acceptance.API{
	Name: "orders", Variable: "ORDERS_URL",
	Probe: acceptance.Probe{Path: "/v1/orders/x", Status: http.StatusUnauthorized, Contains: `"/problems/unauthorized"`},
}

// TestMissingAPI: an API that is not there is reported at once, with what to do.
func TestMissingAPI(t *testing.T) {
	answering := func(status int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	const little, much = 2 * time.Second, time.Minute // a wrong response is not waited for
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hung.Close)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for name, c := range map[string]struct {
		url, says string
		patience  time.Duration
	}{
		"dead":                   {dead.URL, "connection refused", little},
		"hanging":                {hung.URL, "does not respond at", little},
		"a function that fails":  {answering(500, `{"message":"Internal Server Error"}`), "Internal Server Error", little},
		"nothing behind a proxy": {answering(502, ""), "status 502", little},
		"garbage":                {answering(200, "<html>welcome</html>"), "is not the orders API", much},
		"another API":            {answering(404, `{"type":"/problems/no-route"}`), "instead of status 401", much},
		"a stage that is not":    {answering(404, `{"message":"Not Found"}`), "Not Found", much},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), c.patience)
			defer cancel()
			err := acceptance.Check(ctx, orders, acceptance.URL(t, c.url))
			for _, part := range []string{c.says, c.url, "is ORDERS_URL right?"} {
				if err == nil || !strings.Contains(err.Error(), part) {
					t.Errorf("%v; want it to contain %q", err, part)
				}
			}
			if c.patience == much && ctx.Err() != nil {
				t.Error("a final response was awaited until there was no time left")
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://api.example": true, "http://127.0.0.1:80/stage/": true,
		"": false, "api.example": false, "localhost:8083": false, "ftp://api.example": false, "https://": false,
		"https://x?y": false, "http://a b": false, "https://x/#y": false,
	} {
		if err := acceptance.CheckURL(base); (err == nil) != ok {
			t.Errorf("%q: %v", base, err)
		}
	}
}
