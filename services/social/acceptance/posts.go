package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/banyan-fig/banyan/services/acceptance"
)

// PostsAPI is the API of the posts service.
var PostsAPI = acceptance.API{
	Name: "posts", Variable: "BANYAN_ACCEPTANCE_URL_POSTS",
	Probe: acceptance.Probe{Path: "/v1/posts/x", Status: http.StatusBadRequest, Contains: `"/problems/invalid"`},
}

// Posts runs the cases of the posts API.
func Posts(t *testing.T, api acceptance.Target) {
	PostsAPI.Run(t, api, cases(map[string]func(run, acceptance.Target){"life of a post": lifeOfAPost, "newest": newest}))
}

// publish makes a post until the end of the test.
func (r run) publish(api acceptance.Target, id, author, text string) acceptance.Reply {
	r.T.Helper()
	body := acceptance.JSON(map[string]any{"author": author, "text": text + ", " + r.Mark()})
	got := r.Send(api, acceptance.Request{Method: "PUT", Path: "/v1/posts/" + id, Body: body})
	if got.Status != http.StatusOK { // which is for a repeated one
		r.Expect("publish", got, http.StatusCreated, `"id":"`+id+`"`, `"author":"`+author+`"`, text)
	}
	r.deleteInTheEnd(api, "/v1/posts/"+id)
	return got
}

func lifeOfAPost(r run, api acceptance.Target) {
	id, author := newID(), newID()
	path := "/v1/posts/" + id
	made := r.publish(api, id, author, "hello")
	at := r.expectWritten("publishing", made)
	again := r.publish(api, id, author, "hello")
	r.Expect("publish again", again, http.StatusOK, made.Body)
	if later := r.expectWritten("publishing again", again); !at.Before(later) {
		r.T.Errorf("publishing again is at %v, the first at %v", later, at)
	}
	for what, c := range map[string]struct {
		body    map[string]any
		status  int
		problem string
	}{
		"another post": {map[string]any{"author": author, "text": "else"}, http.StatusConflict, "id-taken"},
		"no text":      {map[string]any{"author": author, "text": " "}, http.StatusBadRequest, "invalid"},
		"no author":    {map[string]any{"text": "hello"}, http.StatusBadRequest, "invalid"},
	} {
		r.ExpectProblem(what, r.Send(api, acceptance.Request{Method: "PUT", Path: path, Body: acceptance.JSON(c.body)}), c.status, c.problem)
	}
	got := r.Send(api, acceptance.Request{Method: "GET", Path: path})
	r.Expect("get", got, http.StatusOK, made.Body)
	etag := got.Header.Get("ETag")
	r.Expect("get unchanged", r.Send(api, acceptance.Request{Method: "GET", Path: path, Header: map[string]string{"If-None-Match": etag}}), http.StatusNotModified)
	stale := acceptance.Request{Method: "DELETE", Path: path, Header: map[string]string{"If-Match": `"77"`}}
	r.ExpectProblem("delete another version", r.Send(api, stale), http.StatusPreconditionFailed, "version")
	gone, err := acceptance.Send(r.T.Context(), api, acceptance.Request{Method: "DELETE", Path: path, Header: map[string]string{"If-Match": etag}})
	if err == nil && gone.Status == http.StatusNoContent { // not where the answer was lost
		r.expectWritten("deleting", gone)
	}
	r.Eventually("the post is deleted", func(context.Context) error {
		if got := r.Send(api, acceptance.Request{Method: "DELETE", Path: path}); got.Status != http.StatusNotFound {
			return fmt.Errorf("status %d", got.Status)
		}
		return nil
	})
	r.ExpectProblem("get what is deleted", r.Send(api, acceptance.Request{Method: "GET", Path: path}), http.StatusNotFound, "not-found")
}

func newest(r run, api acceptance.Target) {
	ada, bob := newID(), newID()
	ids := []string{newID(), newID(), newID()}
	slices.Sort(ids)
	for i, id := range ids {
		r.publish(api, id, []string{ada, bob}[i%2], fmt.Sprint("post ", i))
	}
	slices.Reverse(ids)
	r.Eventually("the newest posts of both", func(context.Context) error {
		var seen []string
		for before, pages := "", 1; pages == 1 || before != "" && pages < 9; pages++ {
			got := r.Send(api, acceptance.Request{Method: "GET", Path: "/v1/posts?authors=" + ada + "," + bob + "&limit=2&before=" + before})
			r.Expect("newest", got, http.StatusOK)
			var page struct {
				Posts []struct{ ID string }
				Next  string `json:"nextCursor"`
			}
			got.Decode(r.T, &page)
			for _, p := range page.Posts {
				seen = append(seen, p.ID)
			}
			before = page.Next
		}
		if !slices.Equal(seen, ids) {
			return fmt.Errorf("the list is %q, want %q", seen, ids)
		}
		return nil
	})
	r.ExpectProblem("nobody's posts", r.Send(api, acceptance.Request{Method: "GET", Path: "/v1/posts"}), http.StatusBadRequest, "invalid")
}
