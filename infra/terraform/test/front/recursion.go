package main

import (
	"encoding/json"
	"net/http"
	"strings"
)

// moto does not know whether a function may invoke itself.
const recursion = "/2024-08-31/functions/"

// loops answers what PutFunctionRecursionConfig said of a function, or Lambda's
// default.
func (f *front) loops(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, recursion), "/")
	var in struct{ RecursiveLoop string }
	if r.Method == http.MethodPut {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if in.RecursiveLoop != "" {
		f.recursive[name] = in.RecursiveLoop
	}
	out := f.recursive[name]
	if out == "" {
		out = "Terminate"
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"RecursiveLoop": out})
}
