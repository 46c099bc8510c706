package lambdahttp_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/banyan-fig/banyan/services/lambdahttp"
)

// A handler as a function; in main, give it to lambda.Start.
func Example() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.Method, r.URL)
	})
	function, err := lambdahttp.New(handler, lambdahttp.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	answer, err := function.Invoke(context.Background(), []byte(`{
		"version": "2.0", "rawPath": "/v1/orders/7", "rawQueryString": "full=1",
		"requestContext": {"http": {"method": "GET", "sourceIp": "203.0.113.7", "protocol": "HTTP/1.1"}}
	}`))
	fmt.Println(string(answer), err)
	// Output:
	// {"statusCode":200,"headers":{"Content-Type":"text/plain; charset=utf-8"},"body":"GET /v1/orders/7?full=1","isBase64Encoded":false}
	//  <nil>
}
