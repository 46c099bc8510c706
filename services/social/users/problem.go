package users

import (
	"net/http"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// problems says what each error looks like to clients.
var problems = httpjson.Problems{
	httpjson.WithDetail(ErrInvalid, "invalid", "Invalid input", http.StatusBadRequest),
	httpjson.WithDetail(ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest),
	httpjson.WithDetail(ErrNotFound, "not-found", "User not found", http.StatusNotFound),
	httpjson.WithDetail(ErrEmailTaken, "email-taken", "E-mail taken", http.StatusConflict),
	httpjson.WithDetail(ErrIDTaken, "id-taken", "Id taken", http.StatusConflict),
	httpjson.WithDetail(ErrVersion, "version", "Version has changed", http.StatusPreconditionFailed),
	httpjson.WithoutDetail(ErrCredentials, "credentials", "Wrong e-mail or password", http.StatusUnauthorized),
	httpjson.WithoutDetail(ErrNotPublished, "not-published", "Stored but not published; send the request again", http.StatusServiceUnavailable),
	httpjson.WithoutDetail(ownership.ErrHeld, "held", "Writes are held for a change of owner; try again", http.StatusServiceUnavailable),
	httpjson.WithoutDetail(ownership.ErrNoLease, "no-lease", "The present owner of the users is not known here; try again", http.StatusServiceUnavailable),
	httpjson.WithoutDetail(ownership.ErrLeft, "shutting-down", "This instance is shutting down; try again", http.StatusServiceUnavailable),
}
