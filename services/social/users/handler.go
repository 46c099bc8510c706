package users

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/entityhttp"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// maxPage is the most users of one page.
const maxPage = 500

// problems says what each error looks like to clients.
var problems = append(httpjson.Problems{
	httpjson.WithDetail(entity.ErrTaken, "email-taken", "E-mail taken", http.StatusConflict),
	httpjson.WithoutDetail(ErrCredentials, "credentials", "Wrong e-mail or password", http.StatusUnauthorized),
}, entityhttp.Problems...)

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
	credentialsBody struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	listBody struct {
		Users []userBody `json:"users"`
		Next  string     `json:"nextCursor,omitempty"`
	}
)

// api is the HTTP API over a Service.
type api struct{ service *Service }

// NewHandler serves the API of service, see the package comment. log gets the errors that clients
// are not shown.
func NewHandler(service *Service, log *slog.Logger) *httpjson.Mux {
	a := api{service}
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: problems, Timeout: entityhttp.Timeout, Logger: log})
	mux.Handle("PUT /v1/users/{id}", a.create)
	mux.Handle("GET /v1/users/{id}", a.get)
	mux.Handle("PATCH /v1/users/{id}", a.update)
	mux.Handle("DELETE /v1/users/{id}", a.delete)
	mux.Handle("GET /v1/users", a.list)
	mux.Handle("POST /v1/users/authenticate", a.authenticate)
	return mux
}

func present(u User) userBody {
	return userBody{
		ID: u.ID, Name: u.Name, Email: u.Email, Bio: u.Bio, Version: u.Version,
		CreatedAt: u.CreatedAt.UTC().Format("2006-01-02T15:04:05.000Z"),
	}
}

func (a api) create(w http.ResponseWriter, r *http.Request) error {
	in := NewUser{ID: r.PathValue("id")}
	if err := httpjson.ReadJSON(w, r, &in); err != nil {
		return err
	}
	done, err := a.service.Create(r.Context(), in)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !done.Repeated {
		status = http.StatusCreated
		w.Header().Set("Location", "/v1/users/"+done.Value.ID)
	}
	entityhttp.WriteWritten(w, status, done.Version, done.Position, present(done.Value))
	return nil
}

func (a api) update(w http.ResponseWriter, r *http.Request) error {
	var c Change
	err := httpjson.ReadJSON(w, r, &c)
	if err == nil {
		c.IfVersion, err = entityhttp.IfMatch(r)
	}
	if err != nil {
		return err
	}
	done, err := a.service.Update(r.Context(), r.PathValue("id"), c)
	if err != nil {
		return err
	}
	entityhttp.WriteWritten(w, http.StatusOK, done.Version, done.Position, present(done.Value))
	return nil
}

func (a api) delete(w http.ResponseWriter, r *http.Request) error {
	version, err := entityhttp.IfMatch(r)
	if err != nil {
		return err
	}
	done, err := a.service.Delete(r.Context(), r.PathValue("id"), version)
	if err != nil {
		return err
	}
	entityhttp.WriteWritten(w, http.StatusNoContent, done.Version, done.Position, nil)
	return nil
}

func (a api) get(w http.ResponseWriter, r *http.Request) error {
	u, err := a.service.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	entityhttp.WriteRead(w, r, u.Version, present(u))
	return nil
}

func (a api) list(w http.ResponseWriter, r *http.Request) error {
	q, err := httpjson.Query(r)
	if err != nil {
		return err
	}
	var page []User
	var next string
	if q.Has("ids") {
		ids := strings.Split(q.Get("ids"), ",")
		if ids[0] == "" && len(ids) == 1 {
			ids = nil
		}
		page, err = a.service.GetMany(r.Context(), ids)
	} else {
		var limit int
		if limit, err = entityhttp.Limit(q.Get("limit"), maxPage); err != nil {
			return err
		}
		page, next, err = a.service.List(r.Context(), q.Get("cursor"), limit)
	}
	if err != nil {
		return err
	}
	out := listBody{Users: make([]userBody, len(page)), Next: next}
	for i, u := range page {
		out.Users[i] = present(u)
	}
	httpjson.WriteJSON(w, http.StatusOK, out)
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
