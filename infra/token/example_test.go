package token_test

import (
	"fmt"
	"net/http/httptest"

	"github.com/banyan-fig/banyan/infra/token"
)

func Example() {
	tokens, err := token.New(token.Config{Secret: []byte("an example secret of 32 or more bytes")})
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := tokens.Issue("ada")
	if err != nil {
		fmt.Println(err)
		return
	}
	r := httptest.NewRequest("GET", "/v1/orders", nil)
	r.Header.Set("Authorization", "Bearer "+signed)
	fmt.Println(tokens.Subject(r))
	r.Header.Set("Authorization", "Bearer "+signed+"x")
	fmt.Println(tokens.Subject(r))
	// Output:
	// ada <nil>
	//  a valid bearer token is required
}
