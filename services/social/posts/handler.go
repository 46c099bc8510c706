package posts

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/services/entity/entityhttp"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// NewHandler serves the API of s; log gets what clients are not shown, slog.Default when nil.
func NewHandler(s *Service, log *slog.Logger) *httpjson.Mux {
	mux := httpjson.NewMux(httpjson.MuxConfig{Problems: entityhttp.Problems, Timeout: entityhttp.Timeout, Logger: log})
	mux.Handle("PUT /v1/posts/{id}", s.publish)
	mux.Handle("GET /v1/posts/{id}", func(w http.ResponseWriter, r *http.Request) error {
		v, err := s.Get(r.Context(), r.PathValue("id"))
		if err != nil {
			return err
		}
		entityhttp.WriteRead(w, r, v.Version, v.Value)
		return nil
	})
	mux.Handle("DELETE /v1/posts/{id}", func(w http.ResponseWriter, r *http.Request) error {
		version, err := entityhttp.IfMatch(r)
		if err != nil {
			return err
		}
		done, err := s.Delete(r.Context(), r.PathValue("id"), version)
		if err != nil {
			return err
		}
		entityhttp.WriteWritten(w, http.StatusNoContent, 0, done.Position, nil)
		return nil
	})
	mux.Handle("GET /v1/posts", s.newest)
	return mux
}

func (s *Service) publish(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Author string    `json:"author"`
		Text   string    `json:"text"`
		At     time.Time `json:"at"`
	}
	if err := httpjson.ReadJSON(w, r, &in); err != nil {
		return err
	}
	done, err := s.Publish(r.Context(), r.PathValue("id"), in.Author, in.Text, in.At)
	if err != nil {
		return err
	}
	status := http.StatusCreated
	if done.Repeated {
		status = http.StatusOK
	}
	entityhttp.WriteWritten(w, status, done.Version, done.Position, done.Value)
	return nil
}

func (s *Service) newest(w http.ResponseWriter, r *http.Request) error {
	q, err := httpjson.Query(r)
	if err != nil {
		return err
	}
	limit, err := entityhttp.Limit(q.Get("limit"), MaxPage)
	if err != nil {
		return err
	}
	page, next, err := s.Newest(r.Context(), strings.Split(q.Get("authors"), ","), q.Get("before"), limit)
	if err != nil {
		return err
	}
	httpjson.WriteJSON(w, http.StatusOK, struct {
		Posts []Post `json:"posts"`
		Next  string `json:"nextCursor,omitempty"`
	}{page, next})
	return nil
}
