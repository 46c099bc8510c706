package serving

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
)

// Admin serves what the operators of a program ask: /healthz, /readyz with what is in the way,
// /metrics.json, and the numbers of that for Prometheus as /metrics, each called banyan_ and its
// name there. Names of members within members have a _ in between.
func Admin(ready func() error, metrics func() any) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
	mux.HandleFunc("GET /metrics.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(metrics())
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		var text bytes.Buffer
		_ = json.NewEncoder(&text).Encode(metrics()) // what cannot be encoded leaves nothing to write
		numbers := json.NewDecoder(&text)
		numbers.UseNumber()
		var all any
		_ = numbers.Decode(&all)
		writeNumbers(w, "banyan", all)
	})
	return mux
}

func writeNumbers(w io.Writer, name string, value any) {
	switch v := value.(type) {
	case json.Number:
		fmt.Fprintf(w, "%s %s\n", name, v)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			writeNumbers(w, name+"_"+key, v[key])
		}
	}
}
