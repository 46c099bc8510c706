// Package httpjson is the HTTP side of a service with a JSON API: endpoints that
// return errors, errors that become problems (RFC 9457), and request bodies that are
// read strictly and within a limit. It keeps to net/http: a [Mux] is an http.Handler,
// and an [Endpoint] an http.HandlerFunc that may fail.
//
//	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: httpjson.Problems{
//		httpjson.WithDetail(ErrNotFound, "not-found", "No such order", http.StatusNotFound),
//	}})
//	mux.Handle("PUT /v1/orders/{id}", func(w http.ResponseWriter, r *http.Request) error {
//		var order Order
//		if err := httpjson.ReadJSON(w, r, &order); err != nil {
//			return err
//		}
//		...
//	})
//
// An error that no rule names becomes a 500 that does not show its text, which is
// logged instead.
package httpjson
