package monolith

import (
	"context"
	"errors"
	"net/http"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/httpjson"
	"github.com/banyan-fig/banyan/services/social/users/client"
)

// The shapes that mobile clients know.
type (
	envelope struct {
		Status string     `json:"status"`
		Data   any        `json:"data,omitempty"`
		Error  *errorBody `json:"error,omitempty"`
	}
	errorBody struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	userBody struct {
		UserID      string `json:"user_id"`
		DisplayName string `json:"display_name"`
		Mail        string `json:"mail"`
		About       string `json:"about"`
		JoinedTS    int64  `json:"joined_ts"` // seconds
	}
	postBody struct {
		PostID     string `json:"post_id"`
		AuthorID   string `json:"author_id"`
		AuthorName string `json:"author_name"`
		Text       string `json:"text"`
		CreatedTS  int64  `json:"created_ts"` // milliseconds
	}
	timelineBody struct {
		Posts []postBody `json:"posts"`
		Next  string     `json:"next"`
	}
)

func presentUser(u client.User) userBody {
	return userBody{UserID: u.ID, DisplayName: u.Name, Mail: u.Email, About: u.Bio, JoinedTS: u.CreatedAt.Unix()}
}

func presentPost(p Post) postBody {
	return postBody{PostID: p.ID, AuthorID: p.Author, AuthorName: p.AuthorName, Text: p.Text, CreatedTS: p.At.UnixMilli()}
}

var errNotFound = errors.New("not found")

// failures is what each error looks like to a mobile client, the first match counts.
var failures = []struct {
	err     error
	status  int
	code    string
	message string // the error's own text when empty
}{
	{token.ErrInvalid, http.StatusUnauthorized, "unauthorized", "log in again"},
	{client.ErrCredentials, http.StatusUnauthorized, "unauthorized", "wrong mail or password"},
	{httpjson.ErrTooLarge, http.StatusBadRequest, "invalid", ""},
	{httpjson.ErrInvalid, http.StatusBadRequest, "invalid", ""},
	{client.ErrInvalid, http.StatusBadRequest, "invalid", "the input was refused"},
	{errNotFound, http.StatusNotFound, "not_found", "there is no such thing"},
	{client.ErrNotFound, http.StatusNotFound, "not_found", "there is no such user"},
	{client.ErrEmailTaken, http.StatusConflict, "mail_taken", "this mail is taken"},
	{client.ErrConflict, http.StatusConflict, "conflict", "there is a conflict with another user"},
	{client.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", "try again"},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "unavailable", "try again"},
}

func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, body := http.StatusInternalServerError, errorBody{Code: "internal", Message: "something went wrong"}
	for _, f := range failures {
		if !errors.Is(err, f.err) {
			continue
		}
		status, body = f.status, errorBody{Code: f.code, Message: f.message}
		if f.message == "" {
			body.Message = err.Error()
		}
		break
	}
	if status >= http.StatusInternalServerError && !errors.Is(err, context.Canceled) {
		h.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "status", status,
			"error", err, "correlation_id", correlation.From(r.Context()).CorrelationID)
	}
	httpjson.WriteJSON(w, status, envelope{Status: "error", Error: &body})
}

// respond writes data, and the position of the write's event, if there is one.
func respond(w http.ResponseWriter, status int, at events.Position, data any) error {
	if at != (events.Position{}) {
		w.Header().Set(events.HeaderWritten, at.String())
	}
	httpjson.WriteJSON(w, status, envelope{Status: "ok", Data: data})
	return nil
}
