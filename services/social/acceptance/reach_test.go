package acceptance_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/services/social/acceptance"
)

// TestWhatIsNotThereIsSaid at once, and what to do about it.
func TestWhatIsNotThereIsSaid(t *testing.T) {
	answering := func(status int, body string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	const little, much = 300 * time.Millisecond, 10 * time.Second // a wrong answer is not waited for
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	t.Cleanup(hung.Close)
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	for name, c := range map[string]struct {
		url, says string
		patience  time.Duration
	}{
		"dead":                   {dead.URL, "connection refused", little},
		"hanging":                {hung.URL, "does not answer at", little},
		"a function that fails":  {answering(500, `{"message":"Internal Server Error"}`), "Internal Server Error", little},
		"nothing behind a proxy": {answering(502, ""), "status 502", little},
		"garbage":                {answering(200, "<html>welcome</html>"), "is not the timeline API", much},
		"another API":            {answering(404, `{"type":"/problems/no-route"}`), "instead of status 401", much},
		"a stage that is not":    {answering(404, `{"message":"Not Found"}`), "Not Found", much},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), c.patience)
		begin := time.Now()
		err := acceptance.CheckTimeline(ctx, acceptance.URL(t, c.url))
		cancel()
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.url) || !strings.HasSuffix(err.Error(), "is "+acceptance.TimelineVariable+" right?") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
	}
}

func TestAddresses(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://api.example": true, "http://127.0.0.1:80/stage/": true,
		"": false, "api.example": false, "localhost:8083": false, "ftp://api.example": false, "https://": false, "https://x?y": false, "http://a b": false, "https://x/#y": false,
	} {
		if err := acceptance.CheckURL(base); (err == nil) != ok {
			t.Errorf("%q: %v", base, err)
		}
	}
}
