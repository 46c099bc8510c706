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

// problems is what each error looks like from outside.
var problems = httpjson.Problems{
	httpjson.Tell(token.ErrInvalid, "unauthorized", "Unauthorized", http.StatusUnauthorized),
	httpjson.Tell(errForbidden, "forbidden", "Not your timeline", http.StatusForbidden),
	httpjson.Tell(errBehind, "read-model-behind", "The read model is behind", http.StatusPreconditionFailed),
	httpjson.Hide(timeline.ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest),
}
