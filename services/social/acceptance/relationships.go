package acceptance

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/acceptance"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// RelationshipsAPI is the API of the relationships service.
var RelationshipsAPI = acceptance.API{
	Name: "relationships", Variable: "BANYAN_ACCEPTANCE_URL_RELATIONSHIPS",
	Probe: acceptance.Probe{Path: "/v1/relationships/x/x", Status: http.StatusBadRequest, Contains: `"/problems/invalid"`},
}

// Relationships runs the cases of the relationships API.
func Relationships(t *testing.T, api acceptance.Target) {
	RelationshipsAPI.Run(t, api, cases(map[string]func(run, acceptance.Target){"follow": follow, "followers": followers, "no follows": noFollows}))
}

// newID is that of a user, or of a post, whom no service knows.
func newID() string { return client.NewID(time.Now()) }

// expectWritten expects the position of a write's event, and returns it.
func (r run) expectWritten(what string, got acceptance.Reply) events.Position {
	r.T.Helper()
	at, err := events.ParsePosition(got.Header.Get(events.HeaderWritten))
	if err != nil || at == (events.Position{}) {
		r.T.Errorf("%s does not return its position: %v", what, err)
	}
	return at
}

// relate makes a relationship until the end of the test.
func (r run) relate(api acceptance.Target, follower, followee string) (path string, got acceptance.Reply) {
	r.T.Helper()
	path = "/v1/relationships/" + follower + "/" + followee
	got = r.Send(api, acceptance.Request{Method: "PUT", Path: path})
	if got.Status != http.StatusOK { // which is for a repeated one
		r.Expect("follow", got, http.StatusCreated, `"follower":"`+follower+`"`, `"followee":"`+followee+`"`)
	}
	r.deleteInTheEnd(api, path)
	return path, got
}

func (r run) deleteInTheEnd(api acceptance.Target, path string) {
	r.T.Cleanup(func() {
		got, err := acceptance.Send(context.Background(), api, acceptance.Request{Method: "DELETE", Path: path})
		if err != nil || got.Status != http.StatusNoContent && got.Status != http.StatusNotFound {
			r.T.Errorf("%s could not be deleted: %d, %v", path, got.Status, err)
		}
	})
}

func follow(r run, api acceptance.Target) {
	path, made := r.relate(api, newID(), newID())
	at := r.expectWritten("following", made)
	again := r.Send(api, acceptance.Request{Method: "PUT", Path: path})
	r.Expect("follow again", again, http.StatusOK, made.Body)
	if later := r.expectWritten("following again", again); !at.Before(later) {
		r.T.Errorf("following again is at %v, the first at %v", later, at)
	}
	got := r.Send(api, acceptance.Request{Method: "GET", Path: path})
	r.Expect("get", got, http.StatusOK, made.Body)
	unchanged := acceptance.Request{Method: "GET", Path: path, Header: map[string]string{"If-None-Match": got.Header.Get("ETag")}}
	r.Expect("get unchanged", r.Send(api, unchanged), http.StatusNotModified)
	for _, what := range []string{"unfollow", "unfollow again"} {
		gone := r.Send(api, acceptance.Request{Method: "DELETE", Path: path})
		r.Expect(what, gone, http.StatusNoContent)
		r.expectWritten(what, gone)
	}
	r.ExpectProblem("get what has ended", r.Send(api, acceptance.Request{Method: "GET", Path: path}), http.StatusNotFound, "not-found")
}

func followers(r run, api acceptance.Target) {
	star, fans := newID(), map[string]bool{}
	for range 3 {
		id := newID()
		fans[id] = true
		r.relate(api, id, star)
	}
	for cursor, pages := "", 1; ; pages++ {
		got := r.Send(api, acceptance.Request{Method: "GET", Path: "/v1/relationships?followee=" + star + "&limit=2&cursor=" + cursor})
		r.Expect("followers", got, http.StatusOK)
		var page struct {
			Relationships []struct{ Follower string }
			Next          string `json:"nextCursor"`
		}
		got.Decode(r.T, &page)
		for _, one := range page.Relationships {
			if !fans[one.Follower] {
				r.T.Errorf("%s follows, or comes twice", one.Follower)
			}
			delete(fans, one.Follower)
		}
		if cursor = page.Next; cursor == "" || pages == 9 {
			break
		}
	}
	if len(fans) > 0 {
		r.T.Errorf("%d followers are missing", len(fans))
	}
}

func noFollows(r run, api acceptance.Target) {
	one, other := newID(), newID()
	for _, c := range []struct {
		what, method, path string
		status             int
		problem            string
	}{
		{"oneself", "PUT", one + "/" + one, http.StatusBadRequest, "invalid"},
		{"not an id", "PUT", "x/" + one, http.StatusBadRequest, "invalid"},
		{"nothing", "GET", one + "/" + other, http.StatusNotFound, "not-found"},
		{"nobody's list", "GET", "?limit=1", http.StatusBadRequest, "invalid"},
		{"a page of too many", "GET", "?follower=" + one + "&limit=501", http.StatusBadRequest, "invalid"},
		{"a cursor of nobody", "GET", "?follower=" + one + "&cursor=nonsense", http.StatusBadRequest, "cursor"},
		{"a method that is not", "POST", one + "/" + other, http.StatusMethodNotAllowed, "method"},
	} {
		path := "/v1/relationships/" + c.path
		if c.path[0] == '?' {
			path = "/v1/relationships" + c.path
		}
		r.ExpectProblem(c.what, r.Send(api, acceptance.Request{Method: c.method, Path: path}), c.status, c.problem)
	}
}
