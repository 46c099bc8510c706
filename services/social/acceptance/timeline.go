package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/acceptance"
)

// TimelineAPI is the API of the timeline service.
var TimelineAPI = acceptance.API{
	Name: "timeline", Variable: "BANYAN_ACCEPTANCE_URL_TIMELINE",
	Probe: acceptance.Probe{Path: "/v1/timelines/x", Status: http.StatusUnauthorized, Contains: `"/problems/unauthorized"`},
}

// Timeline runs the cases of the timeline API, whose posts come by the mobile API.
func Timeline(t *testing.T, api, mobile acceptance.Target) {
	MobileAPI.Await(t, mobile)
	TimelineAPI.Run(t, api, cases(map[string]func(run, acceptance.Target){
		"posts arrive":   func(r run, api acceptance.Target) { postsArrive(r, api, mobile) },
		"only one's own": func(r run, api acceptance.Target) { onlyOnesOwn(r, api, mobile) },
	}))
}

type timelinePage struct {
	Items []struct{ PostID, AuthorID, Text string }
	Next  string `json:"nextCursor"`
}

func postsArrive(r run, api, mobile acceptance.Target) {
	ada, bob := r.register(mobile, "ada"), r.register(mobile, "bob")
	followed := r.follow(mobile, ada, bob)
	ids := []string{r.post(mobile, bob, "first"), r.post(mobile, bob, "second"), r.post(mobile, bob, "third")}
	r.unpost(mobile, bob, r.post(mobile, bob, "a mistake"))
	get := func(ctx context.Context, query string, header map[string]string) (page timelinePage, err error) {
		got, err := acceptance.Send(ctx, api, acceptance.Request{Method: "GET", Path: "/v1/timelines/" + ada.ID + query, Token: ada.token, Header: header})
		if err == nil && got.Status != http.StatusOK {
			err = fmt.Errorf("status %d: %.300s", got.Status, got.Body)
		}
		if err == nil {
			got.Decode(r.T, &page)
		}
		return page, err
	}
	var first timelinePage
	r.Eventually("the posts, the newest first", func(ctx context.Context) (err error) {
		if first, err = get(ctx, "?limit=2", nil); err != nil {
			return err
		}
		if p := first.Items; len(p) != 2 || p[0].PostID != ids[2] || p[1].PostID != ids[1] || p[0].AuthorID != bob.ID {
			return fmt.Errorf("%+v", p)
		}
		return nil
	})
	r.Eventually("the second page", func(ctx context.Context) error {
		rest, err := get(ctx, "?limit=2&cursor="+first.Next, nil)
		if err == nil && (len(rest.Items) != 1 || rest.Items[0].PostID != ids[0] || rest.Next != "") {
			err = fmt.Errorf("%+v", rest)
		}
		return err
	})
	if followed != "" {
		r.Eventually("what was applied up to the follow", func(ctx context.Context) error {
			_, err := get(ctx, "", map[string]string{events.HeaderReadAfter: followed})
			return err
		})
	}
}

func onlyOnesOwn(r run, api, mobile acceptance.Target) {
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
		got := r.Send(api, acceptance.Request{Method: c.method, Path: c.path, Token: c.token, Header: c.header})
		r.ExpectProblem(c.what, got, c.status, c.problem)
	}
}

// future is a position that no stream has reached.
var future = events.Position{Sequence: "99999999999999999999999999999999999999999999999999999999"}.String()
