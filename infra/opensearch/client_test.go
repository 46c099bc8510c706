package opensearch_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/infra/opensearch"
	"github.com/banyan-fig/banyan/infra/opensearch/bulktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func client(t *testing.T, url string, sign func(context.Context, *http.Request, []byte) error) *opensearch.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	c, err := opensearch.New(opensearch.Config{URL: url, HTTP: &http.Client{Transport: transport}, Timeout: time.Minute, Sign: sign})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func items(bodies ...string) (all []opensearch.Item) {
	for i, b := range bodies {
		all = append(all, opensearch.Item{Index: "i", ID: string(rune('a' + i)), Body: []byte(b)})
	}
	return all
}

func TestBulk(t *testing.T) {
	s := bulktest.Start(t, bulktest.Faults{Refuse: func(d map[string]any) (int, string) {
		if d["bad"] != nil {
			return http.StatusBadRequest, "mapper_parsing_exception"
		}
		return 0, ""
	}})
	c := client(t, s.URL, nil)
	for n, want := range [][]int{{201, 400}, {409, 400}} {
		got, err := c.Bulk(t.Context(), items(`{"x":1}`, `{"bad":1}`))
		if err != nil || len(got) != 2 || got[0].Code != want[0] || got[1].Code != want[1] || got[1].Type != "mapper_parsing_exception" || got[1].Reason == "" {
			t.Errorf("time %d: %+v, %v", n, got, err)
		}
	}
}

func TestWholeAnswers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		header http.Header
		body   string
		want   opensearch.Error // with status 0: ErrAnswer
	}{
		{"throttled", 429, http.Header{"Retry-After": {"2"}}, "slow down", opensearch.Error{Status: 429, Reason: "slow down", After: 2 * time.Second}},
		{"a long wait", 503, http.Header{"Retry-After": {"99999"}}, "", opensearch.Error{Status: 503, After: time.Minute}},
		{"a redirect is not followed", 302, http.Header{"Location": {"/elsewhere"}}, "", opensearch.Error{Status: 302}},
		{"too few items", 200, nil, `{"items":[{"create":{"status":201}}]}`, opensearch.Error{}},
		{"another action", 200, nil, `{"items":[{"index":{"status":201}},{"create":{"status":201}}]}`, opensearch.Error{}},
		{"no JSON", 200, nil, `<html>`, opensearch.Error{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for name, values := range test.header {
					w.Header()[name] = values
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer front.Close()
			_, err := client(t, front.URL, nil).Bulk(t.Context(), items("{}", "{}"))
			e, ok := errors.AsType[*opensearch.Error](err)
			if test.want.Status == 0 {
				if !errors.Is(err, opensearch.ErrAnswer) {
					t.Errorf("error %v", err)
				}
			} else if !ok || *e != test.want {
				t.Errorf("error %+v, want %+v", err, test.want)
			}
		})
	}
}

func TestRequestsToAHungServerTimeOut(t *testing.T) {
	over := make(chan struct{})
	front := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer front.Close()
	defer close(over)
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	c, err := opensearch.New(opensearch.Config{URL: front.URL, HTTP: &http.Client{Transport: transport}, Timeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := c.Bulk(ctx, items("{}")); !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
		t.Errorf("error %v", err)
	}
}

func TestSigning(t *testing.T) {
	s := bulktest.Start(t, bulktest.Faults{})
	at := time.Date(2026, 11, 22, 1, 2, 3, 0, time.UTC)
	sign := opensearch.SigV4(credentials.NewStaticCredentialsProvider("AKID", "secret", "token"), "eu-west-1", func() time.Time { return at })
	if _, err := client(t, s.URL, sign).Bulk(t.Context(), items("{}")); err != nil {
		t.Fatal(err)
	}
	h := s.Header()
	const signature = "AWS4-HMAC-SHA256 Credential=AKID/20261122/eu-west-1/es/aws4_request, SignedHeaders=content-length;content-type;host;"
	if !strings.HasPrefix(h.Get("Authorization"), signature) ||
		len(h.Get("X-Amz-Content-Sha256")) != 64 ||
		h.Get("X-Amz-Security-Token") != "token" {
		t.Errorf("header %v", h)
	}
	calls := 0
	basic := opensearch.Basic(func(context.Context) (string, string, error) { calls++; return "user", "word", nil })
	c := client(t, s.URL, basic)
	for range 2 {
		if _, err := c.Bulk(t.Context(), items("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if got := s.Header().Get("Authorization"); got != "Basic dXNlcjp3b3Jk" || calls != 2 {
		t.Errorf("%s, asked %d times", got, calls)
	}
}

// TestTemplateBoundsTheMapping: nothing that is logged can add a field.
func TestTemplateBoundsTheMapping(t *testing.T) {
	text := opensearch.Template("logs")
	var got struct {
		IndexPatterns []string `json:"index_patterns"`
		Template      struct {
			Mappings struct {
				Dynamic    any
				Properties map[string]struct{ Type string }
			}
		}
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	m := got.Template.Mappings
	if m.Dynamic != false || m.Properties["fields"].Type != "flat_object" || m.Properties["correlation_id"].Type != "keyword" ||
		got.IndexPatterns[0] != "logs-*" {
		t.Errorf("%s", text)
	}
	s := bulktest.Start(t, bulktest.Faults{})
	if err := client(t, s.URL, nil).PutTemplate(t.Context(), "logs-banyan", text); err != nil || s.Template("logs-banyan") != string(text) {
		t.Errorf("%v", err)
	}
}

func TestURL(t *testing.T) {
	for _, url := range []string{"", "x", "ftp://a", "https://"} {
		if _, err := opensearch.New(opensearch.Config{URL: url}); err == nil {
			t.Errorf("%q is taken", url)
		}
	}
}
