package opensearch_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/search/opensearch"
	"github.com/banyan-fig/banyan/consumers/search/searchtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers is a server of fixed answers, as OpenSearch 2.19 gave them, by method and start of the
// path; what they mean together is what the suite asks of a real one.
func answers(t *testing.T, status map[string]int, body map[string]string) *opensearch.Index {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for prefix, text := range body {
			if strings.HasPrefix(r.Method+" "+r.URL.Path, prefix) {
				if status[prefix] != 0 {
					w.WriteHeader(status[prefix])
				}
				_, _ = io.WriteString(w, text)
				return
			}
		}
		w.WriteHeader(http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	return newIndex(t, server.URL)
}

const (
	aliases = "GET /_alias/"
	bulk    = "POST /_bulk"
	msearch = "POST /_msearch"
)

func TestWrites(t *testing.T) {
	const one = `{"users-1":{"aliases":{"users-w-1":{}}}}`
	for name, c := range map[string]struct {
		status map[string]int
		body   map[string]string
		says   string // of the error; "" for none
	}{
		"written":    {nil, map[string]string{aliases: one, bulk: `{"items":[{"index":{"status":201}}]}`}, ""},
		"not newer":  {nil, map[string]string{aliases: one, bulk: `{"items":[{"index":{"status":409,"error":{"type":"version_conflict_engine_exception"}}}]}`}, ""},
		"removed":    {nil, map[string]string{aliases: one, bulk: `{"items":[{"index":{"status":404,"error":{"type":"index_not_found_exception"}}}]}`}, ""},
		"no index":   {map[string]int{aliases: 404}, map[string]string{aliases: `{"error":"alias missing","status":404}`}, ""},
		"full queue": {nil, map[string]string{aliases: one, bulk: `{"items":[{"index":{"status":429,"error":{"type":"rejected"}}}]}`}, `write "a" to users-w-1: status 429`},
		"throttled":  {map[string]int{bulk: 429}, map[string]string{aliases: one, bulk: `slow`}, "status 429"},
		"refused":    {map[string]int{aliases: 403}, map[string]string{aliases: `no`}, "status 403"},
	} {
		t.Run(name, func(t *testing.T) {
			err := answers(t, c.status, c.body).Write(t.Context(), []search.Document{searchtest.Document("a", "oak", 1, 1)})
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
}

func TestSearches(t *testing.T) {
	const ok = `{"status":200,"hits":{"hits":[{"_source":{"key":"a","rank":3,"data":{"x":1}}}]}}`
	for name, c := range map[string]struct {
		body  string
		built bool
		says  string
	}{
		"found":           {`{"responses":[` + ok + `,` + ok + `]}`, true, ""},
		"no index":        {`{"responses":[` + ok + `,{"status":404,"error":{"type":"index_not_found_exception"}}]}`, false, ""},
		"a shard is away": {`{"responses":[` + ok + `,{"status":503,"error":{"type":"search_phase_execution_exception"}}]}`, true, "status 503"},
		"too few":         {`{"responses":[` + ok + `]}`, true, "1 searches of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			index := answers(t, nil, map[string]string{msearch: c.body})
			found, err := index.Find(t.Context(), make([]search.Lookup, 2))
			switch {
			case !c.built:
				if !errors.Is(err, search.ErrNotBuilt) {
					t.Errorf("error %v", err)
				}
			case c.says != "":
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v, want %q", err, c.says)
				}
			case err != nil || len(found) != 2 || found[1][0].Key != "a" || found[1][0].Rank != 3 || string(found[1][0].Data) != `{"x":1}`:
				t.Errorf("%+v, %v", found, err)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{"", "Users", "1", "a-b", "a*", "_all", strings.Repeat("x", 101)} {
		if _, err := opensearch.New(nil, name); err == nil {
			t.Errorf("%q is taken", name)
		}
	}
}
