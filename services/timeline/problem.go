package timeline

import (
	"errors"
	"net/http"

	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/services/api"
	"github.com/banyan-fig/banyan/services/token"
)

var (
	errForbidden = errors.New("a timeline is for its own user")
	errBehind    = errors.New("the read model has not applied that position for this user yet")
)

// problems is what each error looks like from outside.
var problems = api.Problems{
	api.Tell(token.ErrInvalid, "unauthorized", "Unauthorized", http.StatusUnauthorized),
	api.Tell(errForbidden, "forbidden", "Not your timeline", http.StatusForbidden),
	api.Tell(errBehind, "read-model-behind", "The read model is behind", http.StatusPreconditionFailed),
	api.Hide(timeline.ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest),
}
