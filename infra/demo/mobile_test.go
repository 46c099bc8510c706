package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The apps must notice what is wrong, or the demo's zeros would mean nothing.
func TestMobileNoticesWhatIsWrong(t *testing.T) {
	post := func(id, author string, at int) string {
		return fmt.Sprintf(`{"post_id":%q,"author_id":%q,"author_name":"A","text":"t","created_ts":%d}`, id, author, at)
	}
	timeline := func(posts ...string) string {
		return `{"status":"ok","data":{"posts":[` + strings.Join(posts, ",") + `],"next":""}}`
	}
	many := make([]string, pageSize)
	for i := range many {
		many[i] = post(fmt.Sprint("p", i), "bob", 900-i)
	}
	user := `{"status":"ok","data":{"user":{"user_id":"ann","display_name":%q,"mail":"m","about":"","joined_ts":1}}}`
	read := func(m *mobile) func(context.Context) error { return m.readTimeline }
	gone := func(m *mobile) func(context.Context) error { return m.unpublish }
	self := func(m *mobile) func(context.Context) error { return m.readSelf }
	for name, c := range map[string]struct {
		do        func(*mobile) func(context.Context) error
		status    int
		body      string
		fine      bool
		violation bool
	}{
		"its own post is there":          {do: read, body: timeline(post("x", "bob", 600), post("mine", "ann", 500)), fine: true},
		"its own post is missing":        {do: read, body: timeline(post("x", "bob", 600)), violation: true},
		"pushed off a full page":         {do: read, body: timeline(many...), fine: true},
		"missing from a page not full":   {do: read, body: timeline(many[:5]...), violation: true},
		"someone it does not follow":     {do: read, body: timeline(post("y", "eve", 600), post("mine", "ann", 500)), violation: true},
		"out of order":                   {do: read, body: timeline(post("mine", "ann", 500), post("x", "bob", 600))},
		"a field that it does not know":  {do: read, body: `{"status":"ok","data":{"posts":[],"next":"","more":1}}`},
		"a post without an author":       {do: read, body: timeline(`{"post_id":"x","author_id":"bob","author_name":"","text":"t","created_ts":1}`)},
		"an error":                       {do: read, status: 502, body: `{}`},
		"no JSON":                        {do: read, body: `<html>`},
		"its post is deleted":            {do: gone, body: `{"status":"ok","data":{"deleted":true}}`, fine: true},
		"its post is not deleted":        {do: gone, body: `{"status":"ok","data":{"deleted":false}}`},
		"its name":                       {do: self, body: fmt.Sprintf(user, "Ann"), fine: true},
		"its name before the last write": {do: self, body: fmt.Sprintf(user, "Anna"), violation: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if c.status != 0 {
					w.WriteHeader(c.status)
				}
				_, _ = io.WriteString(w, c.body)
			}))
			defer s.Close()
			m := &mobile{http: s.Client(), base: s.URL, id: "ann", name: "Ann", token: "t", follows: map[string]bool{"bob": true}}
			m.lastPost.PostID, m.lastPost.CreatedTS = "mine", 500
			err := c.do(m)(context.Background())
			var v violation
			if (err == nil) != c.fine || errors.As(err, &v) != c.violation {
				t.Errorf("got %v", err)
			}
		})
	}
}
