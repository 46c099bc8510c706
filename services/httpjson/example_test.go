package httpjson_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/banyan-fig/banyan/services/httpjson"
)

var errNoStock = errors.New("the article is out of stock")

func ExampleMux() {
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: httpjson.Problems{
		httpjson.WithDetail(errNoStock, "out-of-stock", "Out of stock", http.StatusConflict),
	}})
	mux.Handle("POST /v1/orders", func(w http.ResponseWriter, r *http.Request) error {
		var in struct {
			Article string `json:"article"`
		}
		if err := httpjson.ReadJSON(w, r, &in); err != nil {
			return err
		}
		if in.Article == "shoe" {
			return errNoStock
		}
		httpjson.WriteJSON(w, http.StatusCreated, map[string]string{"ordered": in.Article})
		return nil
	})
	for _, body := range []string{`{"article":"hat"}`, `{"article":"shoe"}`, `{"artikel":"hat"}`} {
		r := httptest.NewRequest("POST", "/v1/orders", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		fmt.Println(w.Code, strings.TrimSpace(w.Body.String()))
	}
	// Output:
	// 201 {"ordered":"hat"}
	// 409 {"type":"/problems/out-of-stock","title":"Out of stock","status":409,"detail":"the article is out of stock"}
	// 400 {"type":"/problems/invalid","title":"Invalid input","status":400,"detail":"invalid request: request body: unknown field \"artikel\""}
}
