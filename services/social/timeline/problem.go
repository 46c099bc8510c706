package timeline

import (
	"errors"
	"net/http"

	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/infra/token"
	"github.com/banyan-fig/banyan/services/httpjson"
)

var (
	errForbidden = errors.New("a timeline is for its own user")
	errBehind    = errors.New("the read model has not applied that position for this user yet")
)

// problems says what each error looks like to clients.
var problems = httpjson.Problems{
	httpjson.WithDetail(token.ErrInvalid, "unauthorized", "Unauthorized", http.StatusUnauthorized),
	httpjson.WithDetail(errForbidden, "forbidden", "Not your timeline", http.StatusForbidden),
	httpjson.WithDetail(errBehind, "read-model-behind", "The read model is behind", http.StatusPreconditionFailed),
	httpjson.WithoutDetail(timeline.ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest),
}
