package mapping_test

import (
	"fmt"
	"net/http"

	"github.com/goccy/go-yaml"

	"github.com/banyan-fig/banyan/proxy/mapping"
)

// An answer of a new API becomes what the old endpoint's clients know.
func ExampleResponseMap_Map() {
	var spec mapping.ResponseSpec
	if err := yaml.Unmarshal([]byte(`
status: 200
headers: {X-Total: $.total}
body:
  order_id: {from: $.id, convert: string}
  lines: {each: $.lines, as: {order: $root.id, code: $.sku, price: $.cents / 100}}
  has_more: $.offset + len($.lines) < $.total
error: {error: {from: $status, map: {404: not_found}, default: $text}}
`), &spec); err != nil {
		fmt.Println(err)
		return
	}
	m, err := mapping.CompileResponse(spec, mapping.Context{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, answer := range []struct {
		status int
		body   string
	}{
		{201, `{"id": 90071992547409931, "lines": [{"sku": "tea", "cents": 1999}], "offset": 4, "total": 5}`},
		{404, `{"title": "Not Found"}`},
		{502, `<h1>Bad Gateway</h1>`},
	} {
		body, _ := mapping.DecodeBody("application/json", []byte(answer.body)) // Map says what of it is missed
		header := http.Header{}
		made, err := m.Map(&mapping.Scope{Body: body, Status: answer.status}, header)
		fmt.Println(made.Status, string(made.Body), header, err)
	}
	// Output:
	// 200 {"order_id":"90071992547409931","lines":[{"order":90071992547409931,"code":"tea","price":19.99}],"has_more":false} map[X-Total:[5]] <nil>
	// 404 {"error":"not_found"} map[] <nil>
	// 502 {"error":"<h1>Bad Gateway</h1>"} map[] <nil>
}
