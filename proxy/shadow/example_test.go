package shadow_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/banyan-fig/banyan/proxy/shadow"
)

// front is an exchange engine as small as one can be; what it does for the shadow is
// what each engine does.
func front(s *shadow.Shadow, route *shadow.Route, primary, other shadow.Side) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := s.Start(route, r)
		failed := errors.New("the exchange did not come to its end")
		defer func() { c.End(failed, primary, other) }()
		r.Body, w = c.Request(r.Body), c.Writer(w)

		primary.Handler.ServeHTTP(w, r)
		failed = nil
	})
}

// forward answers as the server at that URL does, over connections of its own.
func forward(base string) (h http.Handler, done func()) {
	transport := &http.Transport{DisableCompression: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", strings.TrimPrefix(base, "http://"), ""
		resp, err := transport.RoundTrip(out)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		maps.Copy(w.Header(), resp.Header)
		w.WriteHeader(resp.StatusCode)
		if _, err := io.Copy(w, resp.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	}), transport.CloseIdleConnections
}

// mapped answers what next does, with the new API's names as the old ones.
func mapped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		fmt.Fprint(w, strings.Replace(answer.Body.String(), `"id"`, `"order_id"`, 1))
	})
}

func Example() {
	legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"order_id": 1, "total": 10.0}`)
	}))
	defer legacy.Close()
	orders := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":1,"total":9.99}`)
	}))
	defer orders.Close()

	primary, done := forward(legacy.URL)
	defer done()
	other, done := forward(orders.URL)
	defer done()

	ended := make(chan shadow.Result, 1)
	shadows := shadow.New(shadow.Config{Observe: func(r shadow.Result) { ended <- r }})
	defer shadows.Close()
	route, err := shadow.NewRoute("order", shadow.Policy{Percent: 100}, nil, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	proxy := httptest.NewServer(front(shadows, route, shadow.Side{Handler: primary}, shadow.Side{Handler: mapped(other)}))
	defer proxy.Close()

	resp, err := http.Get(proxy.URL + "/orders/1")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("the client sees %s\n", body)
	fmt.Println("the copy ended as", (<-ended).Outcome)
	for _, f := range shadows.Book().Of("order").Report().Fields {
		fmt.Println(f.Path, f.Kind, f.A, f.B)
	}
	// Output:
	// the client sees {"order_id": 1, "total": 10.0}
	// the copy ended as differs
	// $.total value 10.0 9.99
}
