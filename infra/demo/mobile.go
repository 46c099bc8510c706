package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
)

// mobile is one installed app: it knows the old API and the proxy's address,
// and nothing of what happens behind it. It does one thing at a time and
// remembers what it was published was done, so that it can tell when a later read
// does not show it.
type mobile struct {
	http *http.Client
	base string

	id, mail, password, token string
	name                      string          // last acknowledged
	unsure                    string          // a later name, whose request failed: nobody knows whether it took effect
	follows                   map[string]bool // acknowledged
	lastPost                  post            // last acknowledged
}

// The old API's shapes. Unknown fields are errors: an app that shipped last
// year would not know what to do with a new shape.
type (
	envelope[T any] struct {
		Status string `json:"status"`
		Data   T      `json:"data"`
	}
	account struct {
		User struct {
			UserID      string `json:"user_id"`
			DisplayName string `json:"display_name"`
			Mail        string `json:"mail"`
			About       string `json:"about"`
			JoinedTS    int64  `json:"joined_ts"`
		} `json:"user"`
		Token string `json:"token,omitempty"`
	}
	post struct {
		PostID     string `json:"post_id"`
		AuthorID   string `json:"author_id"`
		AuthorName string `json:"author_name"`
		Text       string `json:"text"`
		CreatedTS  int64  `json:"created_ts"`
	}
	posted    struct{ Post post } // field names match without regard to case
	unposted  struct{ Deleted bool }
	following struct {
		Following bool `json:"following"`
	}
	timelinePage struct {
		Posts []post `json:"posts"`
		Next  string `json:"next"`
	}
)

// A violation is a read that did not show the client's own earlier write.
type violation struct{ what string }

func (v violation) Error() string { return v.what }

// pageSize is what the app asks of a timeline.
const pageSize = 20

func (m *mobile) signUp(ctx context.Context) error {
	got, err := call[account](ctx, m, http.MethodPost, "/api/v1/users",
		map[string]string{"display_name": m.name, "mail": m.mail, "password": m.password}, http.StatusCreated)
	if err != nil {
		return err
	}
	if got.User.DisplayName != m.name || got.Token == "" {
		return fmt.Errorf("signed up as %q, answered %q, token of %d bytes", m.name, got.User.DisplayName, len(got.Token))
	}
	m.id, m.token, m.follows = got.User.UserID, got.Token, map[string]bool{}
	return nil
}

func (m *mobile) logIn(ctx context.Context) error {
	got, err := call[account](ctx, m, http.MethodPost, "/api/v1/login", map[string]string{"mail": m.mail, "password": m.password}, http.StatusOK)
	if err != nil {
		return err
	}
	m.token = got.Token
	return m.checkAccount(got)
}

// readSelf reads the app's own page.
func (m *mobile) readSelf(ctx context.Context) error {
	got, err := call[account](ctx, m, http.MethodGet, "/api/v1/users/"+m.id, nil, http.StatusOK)
	if err != nil {
		return err
	}
	return m.checkAccount(got)
}

func (m *mobile) checkAccount(got account) error {
	if m.unsure != "" && got.User.DisplayName == m.unsure { // it did
		m.name, m.unsure = m.unsure, ""
	}
	if got.User.UserID != m.id || got.User.DisplayName != m.name {
		return violation{fmt.Sprintf("user %s renamed itself %q and reads %q (%s)", m.id, m.name, got.User.DisplayName, got.User.UserID)}
	}
	return nil
}

func (m *mobile) rename(ctx context.Context, name string) error {
	if _, err := call[account](ctx, m, http.MethodPut, "/api/v1/users/me", map[string]string{"display_name": name}, http.StatusOK); err != nil {
		m.unsure = name
		return err
	}
	m.name, m.unsure = name, ""
	return nil
}

func (m *mobile) publish(ctx context.Context, text string) error {
	got, err := call[posted](ctx, m, http.MethodPost, "/api/v1/posts", map[string]string{"text": text}, http.StatusCreated)
	if err != nil {
		return err
	}
	if got.Post.PostID == "" || got.Post.Text != text {
		return fmt.Errorf("posted %q, answered %+v", text, got.Post)
	}
	m.lastPost = got.Post
	return nil
}

// unpublish deletes the app's last post. Whatever comes of it, the post need not be there any more.
func (m *mobile) unpublish(ctx context.Context) error {
	id := m.lastPost.PostID
	m.lastPost = post{}
	got, err := call[unposted](ctx, m, http.MethodDelete, "/api/v1/posts/"+id, nil, http.StatusOK)
	if err == nil && !got.Deleted {
		err = fmt.Errorf("deleted post %s, answered %+v", id, got)
	}
	return err
}

func (m *mobile) follow(ctx context.Context, id string, on bool) error {
	method := http.MethodPut
	if !on {
		method = http.MethodDelete
	}
	got, err := call[following](ctx, m, method, "/api/v1/follow/"+id, nil, http.StatusOK)
	if err != nil {
		return err
	}
	if got.Following != on {
		return fmt.Errorf("follow %v of %s answered %v", on, id, got.Following)
	}
	if m.follows[id] = on; !on {
		delete(m.follows, id)
	}
	return nil
}

// readTimeline reads the first page and checks that it is in order, shows
// only whom the app follows, and has its own last post.
func (m *mobile) readTimeline(ctx context.Context) error {
	page, err := call[timelinePage](ctx, m, http.MethodGet, fmt.Sprintf("/api/v1/timeline?count=%d", pageSize), nil, http.StatusOK)
	if err != nil {
		return err
	}
	if len(page.Posts) > pageSize {
		return fmt.Errorf("asked for %d posts, got %d", pageSize, len(page.Posts))
	}
	for i, p := range page.Posts {
		if p.PostID == "" || p.CreatedTS == 0 || p.AuthorName == "" {
			return fmt.Errorf("a post in the timeline lacks a field: %+v", p)
		}
		if i > 0 && p.CreatedTS > page.Posts[i-1].CreatedTS {
			return fmt.Errorf("the timeline is out of order at %d", i)
		}
		if p.AuthorID != m.id && !m.follows[p.AuthorID] {
			return violation{fmt.Sprintf("user %s does not follow %s, and reads its post", m.id, p.AuthorID)}
		}
	}
	mine := func(p post) bool { return p.PostID == m.lastPost.PostID }
	if m.lastPost.PostID == "" || slices.ContainsFunc(page.Posts, mine) {
		return nil
	}
	if n := len(page.Posts); n == pageSize && page.Posts[n-1].CreatedTS >= m.lastPost.CreatedTS {
		return nil // pushed off the page by newer posts
	}
	return violation{fmt.Sprintf("user %s does not see its own post %s", m.id, m.lastPost.PostID)}
}

// call makes one request of the old API. Any other status than want, any
// other shape than T, is an error.
func call[T any](ctx context.Context, m *mobile, method, path string, body any, want int) (T, error) {
	var out envelope[T]
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return out.Data, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, m.base+path, payload)
	if err != nil {
		return out.Data, err
	}
	if m.token != "" {
		req.Header.Set("Authorization", "Bearer "+m.token)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := m.http.Do(req)
	if err != nil {
		return out.Data, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return out.Data, fmt.Errorf("%s %s: read the answer: %w", method, path, err)
	}
	if resp.StatusCode != want {
		return out.Data, fmt.Errorf("%s %s: status %d, not %d: %.200s", method, path, resp.StatusCode, want, raw)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&out); err != nil || out.Status != "ok" {
		return out.Data, fmt.Errorf("%s %s: not the shape that the app knows (%v): %.200s", method, path, err, raw)
	}
	return out.Data, nil
}
