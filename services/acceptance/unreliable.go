package acceptance

import (
	"io"
	"net/http"
	"sync/atomic"
)

// Unreliable puts an API behind a gateway that responds to every third GET with 502, as
// the gateway of a stage does occasionally: cases must tolerate it. It is safe for
// concurrent use if the API is.
func Unreliable(api Target) http.Handler {
	var gets atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && gets.Add(1)%3 == 0 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		res, err := api.Do(r)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		defer func() { _ = res.Body.Close() }()
		for name, values := range res.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(res.StatusCode)
		_, _ = io.Copy(w, res.Body)
	})
}
