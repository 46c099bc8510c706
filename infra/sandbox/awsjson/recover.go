package awsjson

import (
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
)

// Recover answers with an InternalServerError (status 500) where next panics,
// which is a fault of the sandbox, and writes the panic with its stack to log
// once. A handler that panics with http.ErrAbortHandler ends the connection
// without an answer, as it wants.
func Recover(log io.Writer, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			switch p := recover(); p {
			case nil:
			case http.ErrAbortHandler:
				panic(p)
			default:
				what := r.Header.Get("X-Amz-Target")
				if what == "" {
					what = r.Method + " " + r.URL.Path
				}
				fmt.Fprintf(log, "sandbox: %s panicked: %v\n%s\n", what, p, debug.Stack())
				w.Header().Set("X-Amzn-Errortype", "InternalServerError")
				jsonEncoding("1.1").writeError(w, &Error{
					Type: "InternalServerError", Message: fmt.Sprintf("the sandbox panicked: %v", p), Status: http.StatusInternalServerError,
				})
			}
		}()
		next.ServeHTTP(w, r)
	})
}
