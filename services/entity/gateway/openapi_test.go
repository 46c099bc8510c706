package gateway_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// TestOpenAPI: what is served is OpenAPI, and requests and answers are as it says.
func TestOpenAPI(t *testing.T) {
	w := newWorld(t, orders, ownership.DynamoDB)
	described, err := openapi3.NewLoader().LoadFromData([]byte(w.send("GET", "/openapi.json", "").body))
	must(t, err)
	must(t, described.Validate(t.Context()))
	for path, methods := range map[string]string{"/v1/orders": "GET POST", "/v1/orders/{id}": "DELETE GET PATCH PUT", "/v1/orders/by/number": "GET",
		"/v1/orders/by/shop+receipt": "GET", "/v1/orders/index/by-customer": "GET"} {
		for method := range strings.FieldsSeq(methods) {
			if item := described.Paths.Value(path); item == nil || item.GetOperation(method) == nil {
				t.Errorf("%s %s is not described", method, path)
			}
		}
	}
	router, err := gorillamux.NewRouter(described)
	must(t, err)
	const doc = `{"customer":"ada","placed":"2026-11-30T08:00:00.000Z","number":7,"total":"1.50","shop":"5f0000000000000000000001","receipt":{"$numberLong":"1"}}`
	for _, c := range []struct{ method, path, body, kind string }{
		{"PUT", "/v1/orders/x", doc, "application/json"}, {"GET", "/v1/orders/x", "", ""}, {"POST", "/v1/orders", `{"total":null}`, "application/json"},
		{"PATCH", "/v1/orders/x", `{"total":{"$numberInt":"1"}}`, "application/merge-patch+json"},
		{"PATCH", "/v1/orders/x", `{"patch":{"n":1},"events":[{"type":"order.changed","data":1}]}`, "application/vnd.banyan.write+json"},
		{"GET", "/v1/orders?ids=x", "", ""}, {"GET", "/v1/orders/index/by-customer?equal=ada&descending=true&limit=1", "", ""},
		{"GET", "/v1/orders/by/number?number=7", "", ""}, {"GET", "/v1/orders/nobody", "", ""}, {"DELETE", "/v1/orders/x", "", ""},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, c.path, strings.NewReader(c.body))
		r.Header.Set("Content-Type", c.kind)
		route, parameters, err := router.FindRoute(r)
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
			continue
		}
		in := &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
		if err := openapi3filter.ValidateRequest(t.Context(), in); err != nil {
			t.Errorf("%s %s: %v", c.method, c.path, err)
		}
		answer := httptest.NewRecorder()
		r.Body = io.NopCloser(strings.NewReader(c.body))
		w.handler.ServeHTTP(answer, r)
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: answer.Code, Header: answer.Header(),
			Body: io.NopCloser(answer.Body)}
		if err := openapi3filter.ValidateResponse(t.Context(), out); err != nil || (answer.Code >= http.StatusMultipleChoices) != strings.Contains(c.path, "nobody") {
			t.Errorf("%s %s: %d: %v", c.method, c.path, answer.Code, err)
		}
	}
}
