// Package acceptance runs cases that say whether an API does what its clients need,
// in two ways: against a handler in the same process, or against whatever is
// deployed, over HTTP. They are the same cases, so that what passes on a laptop is
// what is asked of a stage.
//
//	var orders = acceptance.API{
//		Name: "orders", Variable: "ORDERS_URL",
//		Probe: acceptance.Probe{Path: "/v1/orders/x", Status: 400, Contains: `"/problems/invalid"`},
//	}
//
//	func TestOrders(t *testing.T) {
//		api := orders.Deployed(t)
//		if api == nil {
//			api = acceptance.Handler(newHandler(t))
//		}
//		orders.Run(t, api, map[string]acceptance.Case{"an order is kept": orderIsKept})
//	}
//
//	func orderIsKept(r acceptance.Run, api acceptance.Target) {
//		made := r.Send(api, acceptance.Request{Method: "PUT", Path: "/v1/orders/" + r.ID, Body: "{}"})
//		r.Expect("make an order", made, http.StatusCreated)
//	}
//
// ORDERS_URL=https://api.stage.example go test ./... then tests the stage. With
// BANYAN_ACCEPTANCE=http the cases of an API whose variable is not set are skipped
// instead of run in the process.
//
// # Caveats
//
//   - A stage is shared: a case reads only data that it created. That data has
//     the run's ID in its name; data that a case cannot delete is marked as deletable ([Run.Mark]).
//   - Requests that were refused for a moment (429, 502, 503, 504) are repeated, so a
//     case only sends what may be repeated. Use [Send] for what may not.
//   - Effects that become visible later are polled for, with [Run.Eventually].
//   - A handler in the process that hangs, hangs the test until its -timeout.
package acceptance
