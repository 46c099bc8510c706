package proxy

import (
	"encoding/json"
	"net/http"
	"net/url"
)

// Admin is the operators' API: the active routes, their counters, and where a
// request would go and why. It has no authentication: serve it on a private
// listener only.
//
//	GET  /healthz                                  200 while the process runs
//	GET  /readyz                                   200 while a table is in force
//	GET  /routes                                   the table and its counters, and why a newer file was refused
//	GET  /explain?method=GET&path=/p&subject=s     the decision for such a request
//	POST /reload                                   read the file now: 200, or 422 with what is wrong
func Admin(p *Proxy, r *Reloader) http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }
	mux.HandleFunc("GET /healthz", ok)
	mux.HandleFunc("GET /readyz", ok)
	mux.HandleFunc("GET /routes", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, state(p, r)) })
	mux.HandleFunc("GET /explain", func(w http.ResponseWriter, req *http.Request) {
		q := req.URL.Query()
		path, err := url.Parse(q.Get("path"))
		if err != nil || path.Path == "" {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid or missing path: it must be such as path=/some/path, escaped as a client sends it"})
			return
		}
		method := q.Get("method")
		if method == "" {
			method = http.MethodGet
		}
		writeJSON(w, http.StatusOK, p.Explain(method, path.EscapedPath(), q.Get("subject")))
	})
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, _ *http.Request) {
		status := http.StatusOK
		if err := r.Reload(); err != nil {
			status = http.StatusUnprocessableEntity
		}
		writeJSON(w, status, state(p, r))
	})
	return mux
}

func state(p *Proxy, r *Reloader) map[string]any {
	t := p.Table()
	out := map[string]any{"file": t.File, "digest": t.Digest, "inForceSince": t.At, "routes": t.Stats()}
	if err := r.Err(); err != nil {
		out["refused"] = err.Error()
	}
	return out
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
