package main

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
)

// moto follows the alias of an event source mapping when it is made, and says that
// the mapping invokes the version. Lambda keeps the alias.
const mappings = "/2015-03-31/event-source-mappings"

// keepAlias forwards a request about mappings, and puts the alias into the answer.
func (f *front) keepAlias(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var in struct{ FunctionName string }
	_ = json.Unmarshal(body, &in) // most have none
	answer := httptest.NewRecorder()
	f.proxy.ServeHTTP(answer, r)
	text := answer.Body.Bytes()
	var out map[string]any
	if json.Unmarshal(text, &out) == nil {
		f.named(out, in.FunctionName)
		if text, err = json.Marshal(out); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
	}
	maps.Copy(w.Header(), answer.Header())
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(text)
}

// named puts the function's name as it was given into a mapping, or a list of them.
func (f *front) named(out map[string]any, given string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id, _ := out["UUID"].(string)
	if id != "" && strings.HasPrefix(given, "arn:") {
		f.functions[id] = given
	}
	all, _ := out["EventSourceMappings"].([]any)
	for _, m := range append(all, out) {
		if m, ok := m.(map[string]any); ok {
			id, _ := m["UUID"].(string)
			if name := f.functions[id]; name != "" {
				m["FunctionArn"] = name
			}
		}
	}
}
