package sidecar_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
	"github.com/banyan-fig/banyan/publishers/sidecar"
)

// recorder keeps what it is handed.
type recorder struct {
	keeper
	mu   sync.Mutex
	keys []string
	data [][]byte
}

func (r *recorder) EnqueueEncoded(_ context.Context, key string, data []byte) (publishers.Receipt, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys, r.data = append(r.keys, key), append(r.data, data)
	return keeper{}, nil
}

// FuzzRequest: whatever comes is answered with 200 or 4xx, and what is handed to
// the publisher is an event with that key, just as many as were told to be kept.
func FuzzRequest(f *testing.F) {
	f.Add(structured, "", "", good)
	f.Add(batched, "", "", "["+good+","+good+"]")
	f.Add("application/json", "Ce-Subject", "a%20b", `{}`)
	f.Add("application/json", "Ce-", "x", `{}`)
	f.Add("application/json", "Ce-Dataversion", `"3"`, `1`)
	f.Add(structured, "", "", with("data_base64", "5"))
	f.Add(structured, "", "", with("data_base64", `"e30="`))
	f.Add(structured, "", "", with("time", `"2016-11-21T12:00:00Z"`))
	f.Add(structured, "", "", with("subject", `"a \" } ] , : \\"`))
	f.Add(batched, "", "", " [ "+good+" , "+with("data", `[{"a":[1,{}]},"]"]`)+"]")
	f.Add(structured, "", "", with("schemaurl", `{}`))
	f.Add(structured, "", "", with("datacontentencoding", `"base64"`))
	f.Fuzz(func(t *testing.T, contentType, name, value, body string) {
		var to recorder
		h, err := sidecar.New(sidecar.Config{Publisher: &to, MaxEvents: 5})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodPost, sidecar.Path, strings.NewReader(body))
		for i, headers := 0, binary("1"); i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		r.Header.Set("Content-Type", contentType)
		if name != "" {
			r.Header[name] = []string{value}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK && (w.Code < 400 || w.Code >= 500) || w.Code != http.StatusOK && len(to.data) > 0 {
			t.Errorf("status %d with %d events: %s", w.Code, len(to.data), w.Body)
		}
		if n := strings.Count(w.Body.String(), `"kept":"spool"`); n != len(to.data) {
			t.Errorf("%d events were told to be kept, %d are: %s", n, len(to.data), w.Body)
		}
		sent := objects(contentType, body)
		for i, data := range to.data {
			e, err := events.Decode(data)
			if err != nil || e.PartitionKey != to.keys[i] {
				t.Errorf("%s with key %q: %v", data, to.keys[i], err)
			}
			if sent != nil && (len(sent) != len(to.data) || sent[i]["id"] != e.ID || sent[i]["type"] != e.Type) {
				t.Errorf("%s was sent, and %s published", body, data)
			}
		}
	})
}

// objects are the events of a body in JSON by another parser, nil for other bodies.
func objects(contentType, body string) (all []map[string]any) {
	switch contentType {
	case structured:
		body = "[" + body + "]"
	case batched:
	default:
		return nil
	}
	_ = json.Unmarshal([]byte(body), &all)
	return all
}
