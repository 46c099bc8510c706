package acceptance_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/acceptance"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// newOrders is the API under test, in the process.
func newOrders() http.Handler {
	var kept sync.Map
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: httpjson.Problems{
		httpjson.WithDetail(token.ErrInvalid, "unauthorized", "Unauthorized", http.StatusUnauthorized),
	}})
	mux.Handle("PUT /v1/orders/{id}", func(w http.ResponseWriter, r *http.Request) error {
		kept.Store(r.PathValue("id"), true)
		httpjson.WriteJSON(w, http.StatusOK, map[string]string{"id": r.PathValue("id")})
		return nil
	})
	mux.Handle("GET /v1/orders/{id}", func(w http.ResponseWriter, r *http.Request) error {
		if _, ok := kept.Load(r.PathValue("id")); !ok {
			return token.ErrInvalid
		}
		httpjson.WriteJSON(w, http.StatusOK, map[string]string{"id": r.PathValue("id")})
		return nil
	})
	return mux
}

// TestOrders is what an adopter's acceptance test looks like. ORDERS_URL makes it test
// a stage.
func TestOrders(t *testing.T) {
	api := orders.Deployed(t)
	if api == nil {
		api = acceptance.Handler(newOrders())
	}
	orders.Run(t, api, orderCases)
}

var orderCases = map[string]acceptance.Case{
	"an order is kept": func(r acceptance.Run, api acceptance.Target) {
		path := "/v1/orders/" + r.ID
		made := r.Send(api, acceptance.Request{Method: "PUT", Path: path, Body: acceptance.JSON(map[string]any{"note": r.Mark()})})
		r.Expect("make an order", made, http.StatusOK, r.ID)
		r.Eventually("read the order", func(ctx context.Context) error {
			got, err := acceptance.Send(ctx, api, acceptance.Request{Method: "GET", Path: path})
			if err == nil && got.Status != http.StatusOK {
				err = fmt.Errorf("status %d", got.Status)
			}
			return err
		})
	},
	"a stranger": func(r acceptance.Run, api acceptance.Target) {
		got := r.Send(api, acceptance.Request{Method: "GET", Path: "/v1/orders/" + r.Password(), Token: "x"})
		r.ExpectProblem("read another's order", got, http.StatusUnauthorized, "unauthorized")
	},
}

// TestBothWays: the same cases pass over HTTP, behind a gateway that fails now and then.
func TestBothWays(t *testing.T) {
	acceptance.SkipIfDeployed(t, orders)
	server := httptest.NewServer(acceptance.Unreliable(acceptance.Handler(newOrders())))
	t.Cleanup(server.Close)
	orders.Run(t, acceptance.URL(t, server.URL), orderCases)
}

func TestModes(t *testing.T) {
	t.Setenv(acceptance.ModeVariable, "http")
	t.Run("skipped", func(t *testing.T) {
		orders.Deployed(t)
		t.Error("not skipped without an address")
	})
	t.Run("skipped if deployed", func(t *testing.T) {
		acceptance.SkipIfDeployed(t, orders)
		t.Error("not skipped")
	})
	t.Setenv(orders.Variable, "https://orders.example")
	acceptance.RequireDeployed(t, orders)
	if api := orders.Deployed(t); api == nil || api.String() != "https://orders.example" {
		t.Errorf("the API is %v", api)
	}
}
