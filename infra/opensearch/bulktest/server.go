// Package bulktest is a server of the _bulk API for tests: it behaves as
// documented for OpenSearch, as far as a shipper of logs can tell, counts what it
// is told, and fails as its Faults say.
//
// It is no OpenSearch: there is no mapping but the rule in Faults.Refuse.
package bulktest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Document is one that was created.
type Document struct {
	Index, ID string
	Source    map[string]any
	Accepted  int // the how manieth
}

// Text is a member that is a text, "" if there is none; names of objects are cut
// off with dots.
func (d Document) Text(path string) string {
	var v any = d.Source
	for name := range strings.SplitSeq(path, ".") {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	text, _ := v.(string)
	return text
}

// Faults say how often what goes wrong, from 0 to 1.
type Faults struct {
	Item429 float64 // an item is put off
	Whole   float64 // a request is put off with 429 or 503, without effect
	Lost    float64 // a request takes effect, and its connection breaks
	Seed    uint64
	// MaxBytes refuses larger requests with 413; 0 means 10 MiB.
	MaxBytes int64
	// Refuse gives an item's status and type of error, 0 to take it; nil takes all.
	Refuse func(source map[string]any) (status int, errorType string)
}

// Server is safe for concurrent use.
type Server struct {
	URL string

	mu        sync.Mutex
	faults    Faults
	rand      *rand.Rand
	documents map[string]Document // by index and id
	order     []Document
	counts    Counts
	templates map[string]string
	header    http.Header // of the last request
}

// Counts are what the server was told.
type Counts struct{ Requests, Items, Doubled, PutOff, TooLarge, Refused, Lost, Templates int }

// Start starts a server that ends with the test.
func Start(t testing.TB, f Faults) *Server {
	t.Helper()
	s := &Server{documents: map[string]Document{}, templates: map[string]string{}}
	s.Set(f)
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	s.URL = front.URL
	return s
}

// Set changes the faults.
func (s *Server) Set(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.MaxBytes == 0 {
		f.MaxBytes = 10 << 20
	}
	s.faults, s.rand = f, rand.New(rand.NewPCG(f.Seed, 1))
}

// Documents are those created, in the order in which they were.
func (s *Server) Documents() []Document {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// Counts are as of now.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts
}

// Template is one that was put, "" if it was not.
func (s *Server) Template(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.templates[name]
}

// Header is that of the last request.
func (s *Server) Header() http.Header {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.header.Clone()
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = r.Header.Clone()
	name, template := strings.CutPrefix(r.URL.Path, "/_index_template/")
	switch {
	case template && r.Method == http.MethodPut:
		text, err := io.ReadAll(r.Body)
		if err != nil || !json.Valid(text) {
			fail(w, http.StatusBadRequest, "parse_exception", "no JSON")
			return
		}
		s.templates[name] = string(text)
		s.counts.Templates++
		fmt.Fprint(w, `{"acknowledged":true}`)
	case r.URL.Path == "/_bulk" && r.Method == http.MethodPost:
		s.bulk(w, r)
	default:
		fail(w, http.StatusMethodNotAllowed, "illegal_argument_exception", r.Method+" "+r.URL.Path)
	}
}

func fail(w http.ResponseWriter, status int, kind, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"type": kind, "reason": reason}, "status": status})
}

func (s *Server) bulk(w http.ResponseWriter, r *http.Request) {
	s.counts.Requests++
	if r.ContentLength > s.faults.MaxBytes {
		s.counts.TooLarge++
		fail(w, http.StatusRequestEntityTooLarge, "content_too_long", "entity content is too long")
		return
	}
	if s.rand.Float64() < s.faults.Whole {
		s.counts.PutOff++
		status := []int{http.StatusTooManyRequests, http.StatusServiceUnavailable}[s.rand.IntN(2)]
		fail(w, status, "es_rejected_execution_exception", "rejected execution of coordinating operation")
		return
	}
	answer, err := s.items(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, "illegal_argument_exception", err.Error())
		return
	}
	if s.rand.Float64() < s.faults.Lost {
		s.counts.Lost++
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer)
}

// items takes lines of actions and documents by turns.
func (s *Server) items(body io.Reader) (map[string]any, error) {
	lines := bufio.NewReader(body)
	items := []any{}
	for {
		action, err := lines.ReadBytes('\n')
		if err == io.EOF && len(action) == 0 {
			return map[string]any{"took": 1, "errors": true, "items": items}, nil
		}
		source, err2 := lines.ReadBytes('\n')
		if err != nil || err2 != nil {
			return nil, fmt.Errorf("the bulk request must be terminated by a newline")
		}
		var a struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
		}
		var d map[string]any
		if json.Unmarshal(action, &a) != nil || a.Create.Index == "" || a.Create.ID == "" || len(a.Create.ID) > 512 {
			return nil, fmt.Errorf("malformed action/metadata line")
		}
		if json.Unmarshal(source, &d) != nil {
			items = append(items, item(http.StatusBadRequest, "mapper_parsing_exception"))
			continue
		}
		items = append(items, s.create(a.Create.Index, a.Create.ID, d))
	}
}

func item(status int, kind string) any {
	one := map[string]any{"status": status}
	if kind != "" {
		one["error"] = map[string]any{"type": kind, "reason": "as the test says"}
	}
	return map[string]any{"create": one}
}

func (s *Server) create(index, id string, source map[string]any) any {
	s.counts.Items++
	if s.rand.Float64() < s.faults.Item429 {
		s.counts.PutOff++
		return item(http.StatusTooManyRequests, "es_rejected_execution_exception")
	}
	if s.faults.Refuse != nil {
		if status, kind := s.faults.Refuse(source); status != 0 {
			s.counts.Refused++
			return item(status, kind)
		}
	}
	key := index + "/" + id
	if _, there := s.documents[key]; there {
		s.counts.Doubled++
		return item(http.StatusConflict, "version_conflict_engine_exception")
	}
	d := Document{Index: index, ID: id, Source: source, Accepted: len(s.order)}
	s.documents[key] = d
	s.order = append(s.order, d)
	return item(http.StatusCreated, "")
}

// Wait until the server has n documents, or the test fails.
func (s *Server) Wait(t testing.TB, n int, within time.Duration) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		if have := len(s.Documents()); have >= n {
			return
		} else if time.Now().After(end) {
			t.Fatalf("after %s there are %d documents of %d: %+v", within, have, n, s.Counts())
		}
	}
}
