package gateway_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/entity/gateway"
)

const under = "Idempotency-Key: "

// TestRequestsUnderAKeyHaveOneEffect: a request that is repeated under its key is answered as it
// was the first time, and does nothing, also behind later writes.
func TestRequestsUnderAKeyHaveOneEffect(t *testing.T) { eachOwner(t, oneEffect) }

func oneEffect(w *world) {
	const one = "/v1/orders/x"
	for range 2 {
		w.expect("PUT", one, `{"n":1}`, 201, `"1"`, `"n":1`, under+"put")
	}
	w.expect("PATCH", one, `{"m":1}`, 200, `"2"`, `"m":1`, under+"patch")
	w.expect("PATCH", one, `{"m":2}`, 200, `"3"`, `"m":2`, `If-Match: "2"`, under+"conditional")
	a := w.expect("PATCH", one, `{"m":1}`, 200, `"2"`, `"m":2`, under+"patch") // of then, and as it is
	if a.Header.Get("Idempotency-Replayed") != "true" {
		w.Error("not marked as replayed")
	}
	w.expect("PATCH", one, `{"m":2}`, 200, `"3"`, `"m":2`, `If-Match: "2"`, under+"conditional")
	w.expect("PUT", one, `{"n":1}`, 201, `"1"`, `"m":2`, under+"put")
	w.expect("PATCH", one, `{"m":3}`, 422, "", `"/problems/key-reused"`, under+"patch")
	w.expect("PATCH", one, `{"m":2}`, 422, "", `"/problems/key-reused"`, `If-Match: "3"`, under+"conditional")
	w.expect("PATCH", one, `{"m":3}`, 422, "", `"/problems/key-reused"`, `If-Match: "1"`, under+"patch") // however old
	w.expect("PUT", one, `{"n":2}`, 412, `"3"`, "", "If-None-Match: *", under+"made anew")
	w.expect("GET", one, "", 200, `"3"`, `{"_id":"x","n":1,"m":2}`)

	first := w.expect("POST", "/v1/orders", `{"p":1}`, 201, `"1"`, `"p":1`, under+"post")
	again := w.expect("POST", "/v1/orders", `{"p":1}`, 201, `"1"`, first.body, under+"post")
	if first.Header.Get("Location") != again.Header.Get("Location") || again.Header.Get("Idempotency-Replayed") != "true" {
		w.Errorf("made %v, then %v", first.Header, again.Header)
	}
	w.expect("POST", "/v1/orders", `{"p":2}`, 422, "", "", under+"post")
	w.expect("POST", "/v1/orders", `{"p":1}`, 201, `"1"`, `"p":1`, under+"another")

	w.expect("DELETE", one, "", 422, "", `"/problems/key-reused"`, under+"put")
	w.expect("DELETE", one, "", 204, "", "", under+"delete", `If-Match: "3"`)
	w.expect("DELETE", one, "", 204, "", "", under+"delete", `If-Match: "3"`)
	w.expect("DELETE", one, "", 404, "", "")
	w.expect("PUT", one, `{"n":1}`, 201, "", `"n":1`, under+"put") // its key went with the document
}

// TestKeysAreBounded: of many keys the last are kept.
func TestKeysAreBounded(t *testing.T) {
	w := newWorld(t, orders, ownership.DynamoDB)
	for i := range gateway.MaxKeys + 1 {
		w.expect("PUT", "/v1/orders/x", fmt.Sprintf(`{"n":%d}`, i), []int{201, 200}[min(i, 1)], fmt.Sprintf(`"%d"`, i+1), "", fmt.Sprint(under, i))
	}
	w.expect("PUT", "/v1/orders/x", `{"n":1}`, 200, `"2"`, `"n":16`, under+"1")
	w.expect("PUT", "/v1/orders/x", `{"n":0}`, 200, `"18"`, `"n":0`, under+"0") // forgotten
}

// TestOneOfManyRepetitionsCounts: a request that is sent several times at once is made once.
func TestOneOfManyRepetitionsCounts(t *testing.T) {
	eachOwner(t, func(w *world) {
		w.expect("PUT", "/v1/orders/x", `{"n":0}`, 201, `"1"`, "")
		const body = `{"patch":{"n":1},"events":[{"type":"order.changed"}]}`
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				w.expect("PATCH", "/v1/orders/x", body, 200, `"2"`, `"n":1`, under+"k", "Content-Type: application/vnd.banyan.write+json")
				w.expect("POST", "/v1/orders", `{"n":0}`, 201, `"1"`, `"n":0`, under+"k")
			})
		}
		all.Wait()
		w.expect("GET", "/v1/orders/x", "", 200, `"2"`, "")
		if n := strings.Count(w.expect("GET", "/v1/orders", "", 200, "", "").body, `"etag"`); n != 2 {
			w.Errorf("%d documents", n)
		}
		told := map[string]bool{} // once, or several times as the same event
		w.eachEvent(func(e events.Event, _ events.Position) { told[e.ID] = true })
		if len(told) != 1 {
			w.Errorf("told are %d events", len(told))
		}
	})
}

// TestAcrossASwitch: documents, versions and the keys of requests are the same behind a cut-over
// and behind a rollback, while a client writes all the time and no request fails.
func TestAcrossASwitch(t *testing.T) {
	w := newWorld(t, orders, ownership.MongoDB)
	const doc = `"placed":"2026-11-30T08:00:00.000Z","total":"1.50","n":{"$numberLong":"5"},"d":{"$numberDouble":"1.0"}`
	w.expect("PUT", "/v1/orders/x", `{`+doc+`}`, 201, `"1"`, doc, under+"before")
	change := w.migrate()
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			a := w.send("PUT", "/v1/orders/busy", fmt.Sprintf(`{"i":%d}`, i), fmt.Sprint(under, i))
			if a.StatusCode >= 300 || a.Header.Get("ETag") != fmt.Sprintf(`"%d"`, i) {
				w.Errorf("write %d: %d %s %s", i, a.StatusCode, a.Header.Get("ETag"), a.body)
				return
			}
		}
	})
	for i, owner := range []ownership.Store{ownership.DynamoDB, ownership.MongoDB} {
		change()
		if r, err := w.control.Load(t.Context(), "orders"); err != nil || r.Owner != owner {
			t.Errorf("%s is the owner, not %s: %v", r.Owner, owner, err)
		}
		w.expect("PUT", "/v1/orders/x", `{`+doc+`}`, http.StatusCreated, `"1"`, doc, under+"before")
		w.expect("PATCH", "/v1/orders/x", fmt.Sprintf(`{"i":%d}`, i), 200, fmt.Sprintf(`"%d"`, i+2), doc, fmt.Sprint(under, "patch", i))
		w.expect("PATCH", "/v1/orders/x", `{"i":0}`, 200, `"2"`, doc, under+"patch0")
	}
	close(stop)
	writing.Wait()
}
