package relationships

import (
	"fmt"
	"log/slog"
	"net/http"

	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/entity/entityhttp"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// maxPage is how many relationships a page has at most.
const maxPage = 500

// listBody is a page.
type listBody struct {
	Relationships []Relationship `json:"relationships"`
	Next          string         `json:"nextCursor,omitempty"`
}

// NewHandler serves the API of s; log gets what clients are not shown, slog.Default when nil.
func NewHandler(s *Service, log *slog.Logger) *httpjson.Mux {
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: entityhttp.Problems, Timeout: entityhttp.Timeout, Logger: log})
	mux.Handle("GET /v1/relationships", s.list)
	const one = " /v1/relationships/{follower}/{followee}"
	mux.Handle("PUT"+one, func(w http.ResponseWriter, r *http.Request) error {
		done, err := s.Follow(r.Context(), r.PathValue("follower"), r.PathValue("followee"))
		if err != nil {
			return err
		}
		status := http.StatusCreated
		if done.Repeated {
			status = http.StatusOK
		}
		entityhttp.WriteWritten(w, status, done.Version, done.Position, done.Value)
		return nil
	})
	mux.Handle("GET"+one, func(w http.ResponseWriter, r *http.Request) error {
		v, err := s.Get(r.Context(), r.PathValue("follower"), r.PathValue("followee"))
		if err != nil {
			return err
		}
		entityhttp.WriteRead(w, r, v.Version, v.Value)
		return nil
	})
	mux.Handle("DELETE"+one, func(w http.ResponseWriter, r *http.Request) error {
		at, err := s.Unfollow(r.Context(), r.PathValue("follower"), r.PathValue("followee"))
		if err != nil {
			return err
		}
		entityhttp.WriteWritten(w, http.StatusNoContent, 0, at, nil)
		return nil
	})
	return mux
}

func (s *Service) list(w http.ResponseWriter, r *http.Request) error {
	q, err := httpjson.Query(r)
	if err != nil {
		return err
	}
	limit, err := entityhttp.Limit(q.Get("limit"), maxPage)
	if err != nil {
		return err
	}
	index, user := Following, q.Get("follower")
	if q.Has("followee") {
		index, user = Followers, q.Get("followee")
	}
	if q.Has("follower") == q.Has("followee") {
		return fmt.Errorf("%w: name a follower or a followee", entity.ErrInvalid)
	}
	found, next, err := s.List(r.Context(), index, user, q.Get("cursor"), limit)
	if err != nil {
		return err
	}
	page := listBody{Relationships: make([]Relationship, len(found)), Next: next}
	for i, v := range found {
		page.Relationships[i] = v.Value
	}
	httpjson.WriteJSON(w, http.StatusOK, page)
	return nil
}
