package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
)

// placed is an event of an adopter, of which the binary has no Go type.
type placed struct {
	Order    string `json:"order"`
	Customer string `json:"customer"`
}

func (placed) EventType() string      { return "order.placed" }
func (placed) EventVersion() int      { return 1 }
func (placed) Subject() string        { return "" }
func (p placed) PartitionKey() string { return p.Customer }

// TestSchemas: the stock binary refuses what an adopter's document refuses.
func TestSchemas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := events.MustRegistry(events.Define(placed{"o-1", "ada"}, "the customer's id"))
	document, err := schema.AsyncAPI(schema.Info{Title: "Shop", Version: "1", Stream: stream}, registry)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "asyncapi.json")
	if err := os.WriteFile(file, document, 0o600); err != nil {
		t.Fatal(err)
	}
	p := w.serve(nil, "--listen=127.0.0.1:0", "--schemas="+file)
	for _, tc := range []struct {
		eventType, data string
		status          int
		detail          string
	}{
		{"order.placed", `{"order":"o-1","customer":"ada"}`, 200, ""},
		{"order.placed", `{"order":"o-1","customer":"bob"}`, 400, `partitionkey: the envelope has "ada"`},
		{"order.placed", `{"order":7,"customer":"ada"}`, 400, `at '/order': got number, want string`},
		{"order.placed", `{"customer":"ada"}`, 400, `missing property 'order'`},
		{"nobody's", `{}`, 200, ""},
	} {
		body := `{"specversion":"1.0","id":"1","source":"/l","type":"` + tc.eventType + `","partitionkey":"ada","data":` + tc.data + `}`
		res, err := w.http.Post(p.url(), "application/cloudevents+json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		var answer struct{ Detail string }
		err = json.NewDecoder(res.Body).Decode(&answer)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != tc.status || !strings.Contains(answer.Detail, tc.detail) {
			t.Errorf("%s: %d %q, %v; want %d %q", tc.data, res.StatusCode, answer.Detail, err, tc.status, tc.detail)
		}
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d: %s", code, p.log())
	}
	if all := w.read(); len(all) != 2 {
		t.Errorf("on the stream: %v", all)
	}
}
