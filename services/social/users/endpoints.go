package users

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/services/httpjson"
)

const (
	defaultPage = 50
	maxPage     = 500
)

// The bodies of the API.
type (
	userBody struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Email     string `json:"email"`
		Bio       string `json:"bio"`
		Version   int64  `json:"version"`
		CreatedAt string `json:"createdAt"`
	}
	createBody struct {
		Name      string    `json:"name"`
		Email     string    `json:"email"`
		Password  string    `json:"password"`
		Bio       string    `json:"bio"`
		CreatedAt time.Time `json:"createdAt"`
	}
	changeBody struct {
		Name *string `json:"name"`
		Bio  *string `json:"bio"`
	}
	credentialsBody struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	listBody struct {
		Users []userBody `json:"users"`
		Next  string     `json:"nextCursor,omitempty"`
	}
)

func present(u User) userBody {
	return userBody{
		ID: u.ID, Name: u.Name, Email: u.Email, Bio: u.Bio, Version: u.Version,
		CreatedAt: FormatTime(u.CreatedAt),
	}
}

// FormatTime writes a time as the API and the DynamoDB items do: RFC 3339 in UTC
// with milliseconds.
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (a api) create(w http.ResponseWriter, r *http.Request) error {
	var in createBody
	if err := httpjson.ReadJSON(w, r, &in); err != nil {
		return err
	}
	done, err := a.service.Create(r.Context(), NewUser{
		ID: r.PathValue("id"), Name: in.Name, Email: in.Email, Password: in.Password, Bio: in.Bio, CreatedAt: in.CreatedAt,
	})
	if err != nil {
		return err
	}
	status := http.StatusOK
	if done.Created {
		status = http.StatusCreated
		w.Header().Set("Location", "/v1/users/"+done.User.ID)
	}
	return writeUser(w, status, done)
}

func (a api) update(w http.ResponseWriter, r *http.Request) error {
	var in changeBody
	if err := httpjson.ReadJSON(w, r, &in); err != nil {
		return err
	}
	version, err := ifMatch(r.Header.Get("If-Match"))
	if err != nil {
		return err
	}
	done, err := a.service.Update(r.Context(), r.PathValue("id"), Change{Name: in.Name, Bio: in.Bio, IfVersion: version})
	if err != nil {
		return err
	}
	return writeUser(w, http.StatusOK, done)
}

func (a api) get(w http.ResponseWriter, r *http.Request) error {
	u, err := a.service.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	w.Header().Set("ETag", etag(u.Version))
	if r.Header.Get("If-None-Match") == etag(u.Version) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	httpjson.WriteJSON(w, http.StatusOK, present(u))
	return nil
}

func (a api) list(w http.ResponseWriter, r *http.Request) error {
	q, err := httpjson.Query(r)
	if err != nil {
		return err
	}
	if q.Has("ids") {
		found, err := a.service.GetMany(r.Context(), splitIDs(q.Get("ids")))
		if err != nil {
			return err
		}
		httpjson.WriteJSON(w, http.StatusOK, listBody{Users: presentAll(found)})
		return nil
	}
	limit, err := pageSize(q.Get("limit"))
	if err != nil {
		return err
	}
	from, err := ParseCursor(q.Get("cursor"))
	if err != nil {
		return err
	}
	page, next, err := a.service.List(r.Context(), from, limit)
	if err != nil {
		return err
	}
	httpjson.WriteJSON(w, http.StatusOK, listBody{Users: presentAll(page), Next: next.String()})
	return nil
}

func (a api) authenticate(w http.ResponseWriter, r *http.Request) error {
	var in credentialsBody
	if err := httpjson.ReadJSON(w, r, &in); err != nil {
		return err
	}
	u, err := a.service.Authenticate(r.Context(), in.Email, in.Password)
	if err != nil {
		return err
	}
	httpjson.WriteJSON(w, http.StatusOK, present(u))
	return nil
}

func presentAll(found []User) []userBody {
	out := make([]userBody, len(found))
	for i, u := range found {
		out[i] = present(u)
	}
	return out
}

func writeUser(w http.ResponseWriter, status int, done Written) error {
	w.Header().Set("ETag", etag(done.User.Version))
	w.Header().Set(events.HeaderWritten, done.Position.String())
	httpjson.WriteJSON(w, status, present(done.User))
	return nil
}

func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// ifMatch reads the version of an If-Match header; nil when any version matches. Lists and
// weak tags never match a strong comparison of one version (RFC 9110, 13.1.1).
func ifMatch(header string) (*int64, error) {
	if header == "" || header == "*" {
		return nil, nil
	}
	text, err := strconv.Unquote(header)
	if err != nil || header[0] != '"' {
		return nil, fmt.Errorf("%w: If-Match must be one version in double quotes, not %.40s", ErrInvalid, header)
	}
	version, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("If-Match %.40s was never a version: %w", header, ErrVersion)
	}
	return &version, nil
}

func pageSize(text string) (int, error) {
	if text == "" {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return 0, fmt.Errorf("%w: limit must be 1 to %d, not %.20q", ErrInvalid, maxPage, text)
	}
	return n, nil
}

func splitIDs(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
