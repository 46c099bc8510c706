package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/banyan-fig/banyan/events"
)

// Timeline runs the cases of the timeline API, whose posts come by the mobile API.
func Timeline(t *testing.T, api, mobile Target) {
	reach(t, api, knownTimeline)
	reach(t, mobile, knownMobile)
	for name, test := range map[string]func(run, Target, Target){
		"posts arrive": postsArrive, "only one's own": onlyOnesOwn,
	} {
		t.Run(name, func(t *testing.T) { test(newRun(t), api, mobile) })
	}
}

type timelinePage struct {
	Items []struct{ PostID, AuthorID, Text string }
	Next  string `json:"nextCursor"`
}

func postsArrive(r run, api, mobile Target) {
	ada, bob := r.register(mobile, "ada"), r.register(mobile, "bob")
	followed := r.follow(mobile, ada, bob)
	ids := []string{r.post(mobile, bob, "first"), r.post(mobile, bob, "second"), r.post(mobile, bob, "third")}
	get := func(ctx context.Context, query string, header map[string]string) (page timelinePage, err error) {
		got, err := once(ctx, api, request{method: "GET", path: "/v1/timelines/" + ada.ID + query, token: ada.token, header: header})
		if err == nil && got.status != http.StatusOK {
			err = fmt.Errorf("status %d: %.300s", got.status, got.body)
		}
		if err == nil {
			got.read(r.t, &page)
		}
		return page, err
	}
	var first timelinePage
	Eventually(r.t, "the posts, the newest first", func(ctx context.Context) (err error) {
		if first, err = get(ctx, "?limit=2", nil); err == nil && (len(first.Items) != 2 || first.Items[0].PostID != ids[2] || first.Items[1].PostID != ids[1] || first.Items[0].AuthorID != bob.ID) {
			err = fmt.Errorf("%+v", first.Items)
		}
		return err
	})
	Eventually(r.t, "the second page", func(ctx context.Context) error {
		rest, err := get(ctx, "?limit=2&cursor="+first.Next, nil)
		if err == nil && (len(rest.Items) != 1 || rest.Items[0].PostID != ids[0] || rest.Next != "") {
			err = fmt.Errorf("%+v", rest)
		}
		return err
	})
	if followed != "" {
		Eventually(r.t, "what was applied up to the follow", func(ctx context.Context) error {
			_, err := get(ctx, "", map[string]string{events.HeaderReadAfter: followed})
			return err
		})
	}
}

func onlyOnesOwn(r run, api, mobile Target) {
	ada, bob := r.register(mobile, "ada"), r.register(mobile, "bob")
	path := "/v1/timelines/" + ada.ID
	for _, c := range []struct {
		what, method, path, token string
		header                    map[string]string
		status                    int
		problem                   string
	}{
		{"nobody", "GET", path, "", nil, http.StatusUnauthorized, "unauthorized"},
		{"somebody else", "GET", path, bob.token, nil, http.StatusForbidden, "forbidden"},
		{"a wrong limit", "GET", path + "?limit=101", ada.token, nil, http.StatusBadRequest, "invalid"},
		{"a wrong cursor", "GET", path + "?cursor=nonsense", ada.token, nil, http.StatusBadRequest, "cursor"},
		{"no position", "GET", path, ada.token, map[string]string{events.HeaderReadAfter: "yesterday"}, http.StatusBadRequest, "invalid"},
		{"the future", "GET", path, ada.token, map[string]string{events.HeaderReadAfter: future}, http.StatusPreconditionFailed, "read-model-behind"},
		{"a write", "POST", path, ada.token, nil, http.StatusMethodNotAllowed, "method"},
		{"a path that is not", "GET", "/v1/nowhere", ada.token, nil, http.StatusNotFound, "no-route"},
	} {
		got := ask(r.t, api, request{method: c.method, path: c.path, token: c.token, header: c.header})
		r.problem(c.what, got, c.status, c.problem)
	}
}

// future is a position that no stream has reached.
var future = events.Position{Sequence: "99999999999999999999999999999999999999999999999999999999"}.String()
