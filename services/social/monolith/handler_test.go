package monolith_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
)

var update = flag.Bool("update", false, "write the golden files anew")

// volatile is what differs between runs: ids, times and tokens.
var volatile = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`"token":"[^"]+"`), `"token":"TOKEN"`},
	{regexp.MustCompile(`"[0-9a-f]{24}"`), `"ID"`},
	{regexp.MustCompile(`"joined_ts":\d{10}\b`), `"joined_ts":SECONDS`},
	{regexp.MustCompile(`"created_ts":\d{13}\b`), `"created_ts":MILLISECONDS`},
}

// TestOldShapes goes through the old API; mobile clients depend on every byte of
// testdata/shapes.golden.
func TestOldShapes(t *testing.T) {
	w := newWorld(t, 1)
	ann := w.register(0, "Ann", "ann@x.y")
	bob := w.register(0, "Bob <b>", "bob@x.y")
	nobody := "000000000000000000000000"
	var got strings.Builder
	for _, r := range []struct{ name, method, path, token, body string }{
		{"register", "POST", "/api/v1/users", "", `{"display_name":"Eve","mail":"eve@x.y","password":"pw"}`},
		{"register again", "POST", "/api/v1/users", "", `{"display_name":"Eve","mail":"eve@x.y","password":"pw"}`},
		{"register badly", "POST", "/api/v1/users", "", `{"display_name":"","mail":"x@x.y","password":"pw"}`},
		{"register with no JSON", "POST", "/api/v1/users", "", `x`},
		{"log in", "POST", "/api/v1/login", "", `{"mail":"ann@x.y","password":"pw"}`},
		{"log in wrongly", "POST", "/api/v1/login", "", `{"mail":"ann@x.y","password":"no"}`},
		{"profile", "GET", "/api/v1/users/" + bob.User.ID, ann.Token, ""},
		{"profile of nobody", "GET", "/api/v1/users/" + nobody, ann.Token, ""},
		{"profile without a token", "GET", "/api/v1/users/" + bob.User.ID, "", ""},
		{"profile with a wrong token", "GET", "/api/v1/users/" + bob.User.ID, "abc", ""},
		{"change", "PUT", "/api/v1/users/me", ann.Token, `{"about":"I am Ann"}`},
		{"change nothing", "PUT", "/api/v1/users/me", ann.Token, `{}`},
		{"empty timeline", "GET", "/api/v1/timeline", ann.Token, ""},
		{"follow", "PUT", "/api/v1/follow/" + bob.User.ID, ann.Token, ""},
		{"follow again", "PUT", "/api/v1/follow/" + bob.User.ID, ann.Token, ""},
		{"follow nobody", "PUT", "/api/v1/follow/" + nobody, ann.Token, ""},
		{"follow oneself", "PUT", "/api/v1/follow/" + ann.User.ID, ann.Token, ""},
		{"post", "POST", "/api/v1/posts", bob.Token, `{"text":"first & foremost"}`},
		{"post again", "POST", "/api/v1/posts", bob.Token, `{"text":"second"}`},
		{"post one's own", "POST", "/api/v1/posts", ann.Token, `{"text":"mine"}`},
		{"post nothing", "POST", "/api/v1/posts", ann.Token, `{"text":" "}`},
		{"timeline", "GET", "/api/v1/timeline?count=2", ann.Token, ""},
		{"timeline badly", "GET", "/api/v1/timeline?count=x", ann.Token, ""},
		{"timeline cursor", "GET", "/api/v1/timeline?before=x", ann.Token, ""},
		{"unfollow", "DELETE", "/api/v1/follow/" + bob.User.ID, ann.Token, ""},
		{"timeline without", "GET", "/api/v1/timeline", ann.Token, ""},
		{"nowhere", "GET", "/api/v1/nowhere", ann.Token, ""},
	} {
		a := w.ask(0, r.method, r.path, r.token, r.body)
		written := ""
		if h := a.header.Get(events.HeaderWritten); h != "" {
			written = " written"
		}
		fmt.Fprintf(&got, "# %s\n%d%s\n%s\n", r.name, a.status, written, a.body)
	}
	text := got.String()
	for _, v := range volatile {
		text = v.pattern.ReplaceAllString(text, v.with)
	}
	file := filepath.Join("testdata", "shapes.golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the old shapes changed; got\n%s\nwant\n%s", text, want)
	}
}

// The pages of a timeline are the whole of it, newest first.
func TestTimelinePages(t *testing.T) {
	w := newWorld(t, 1)
	ann, bob := w.register(0, "Ann", "ann@x.y"), w.register(0, "Bob", "bob@x.y")
	w.ask(0, "PUT", "/api/v1/follow/"+bob.User.ID, ann.Token, "")
	for i := range 7 {
		author := []account{ann, bob}[i%2]
		if a := w.ask(0, "POST", "/api/v1/posts", author.Token, fmt.Sprintf(`{"text":"%d"}`, i)); a.status != http.StatusCreated {
			t.Fatalf("post: %d %s", a.status, a.body)
		}
	}
	var seen []string
	for before := ""; ; {
		var page struct {
			Posts []struct {
				Text string `json:"text"`
				Name string `json:"author_name"`
			} `json:"posts"`
			Next string `json:"next"`
		}
		w.ask(0, "GET", "/api/v1/timeline?count=3&before="+before, ann.Token, "").data(t, &page)
		for _, p := range page.Posts {
			seen = append(seen, p.Text+p.Name[:1])
		}
		if before = page.Next; before == "" {
			break
		}
	}
	if got, want := strings.Join(seen, " "), "6A 5B 4A 3B 2A 1B 0A"; got != want {
		t.Errorf("timeline %q, want %q", got, want)
	}
}

// A post is deleted by its author and nobody else, also again, and told once.
func TestDeletePost(t *testing.T) {
	w := newWorld(t, 1)
	ann, bob := w.register(0, "Ann", "ann@x.y"), w.register(0, "Bob", "bob@x.y")
	var made struct {
		Post struct {
			ID string `json:"post_id"`
		}
	}
	w.ask(0, "POST", "/api/v1/posts", ann.Token, `{"text":"x"}`).data(t, &made)
	for _, c := range []struct {
		token, id string
		want      int
	}{
		{bob.Token, made.Post.ID, http.StatusNotFound},
		{ann.Token, made.Post.ID, http.StatusOK},
		{ann.Token, made.Post.ID, http.StatusOK},
		{ann.Token, "x", http.StatusBadRequest},
	} {
		if a := w.ask(0, "DELETE", "/api/v1/posts/"+c.id, c.token, ""); a.status != c.want {
			t.Errorf("%+v: %d %s", c, a.status, a.body)
		}
	}
	if a := w.ask(0, "GET", "/api/v1/timeline", ann.Token, ""); !strings.Contains(string(a.body), `"posts":[]`) {
		t.Errorf("the timeline has %s", a.body)
	}
	var told []string
	for _, e := range w.stream.Events() {
		told = append(told, e.Type)
	}
	if got := strings.Join(told[len(told)-2:], " "); got != "post.published post.deleted" {
		t.Errorf("the last events are %s", got)
	}
}

// Follows are told each time, with the time of the first.
func TestFollowIsPublishedAgain(t *testing.T) {
	w := newWorld(t, 1)
	ann, bob := w.register(0, "Ann", "ann@x.y"), w.register(0, "Bob", "bob@x.y")
	for range 2 {
		w.ask(0, "PUT", "/api/v1/follow/"+bob.User.ID, ann.Token, "")
	}
	var told []string
	for _, e := range w.stream.Events() {
		if e.Type == "relationship.followed" {
			told = append(told, string(e.Data))
		}
	}
	if len(told) != 2 || told[0] != told[1] {
		t.Errorf("told %q, want the same fact twice", told)
	}
}
