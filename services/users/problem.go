package users

import (
	"net/http"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/api"
)

// problems is what each error looks like from outside.
var problems = api.Problems{
	api.Tell(ErrInvalid, "invalid", "Invalid input", http.StatusBadRequest),
	api.Tell(ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest),
	api.Tell(ErrNotFound, "not-found", "User not found", http.StatusNotFound),
	api.Tell(ErrEmailTaken, "email-taken", "E-mail taken", http.StatusConflict),
	api.Tell(ErrIDTaken, "id-taken", "Id taken", http.StatusConflict),
	api.Tell(ErrVersion, "version", "Version has changed", http.StatusPreconditionFailed),
	api.Hide(ErrCredentials, "credentials", "Wrong e-mail or password", http.StatusUnauthorized),
	api.Hide(ErrNotPublished, "not-published", "Stored but not published; repeat the request", http.StatusServiceUnavailable),
	api.Hide(ownership.ErrHeld, "held", "Writes are held for a change of owner; repeat the request", http.StatusServiceUnavailable),
	api.Hide(ownership.ErrNoLease, "no-lease", "This instance cannot tell who owns the users; repeat the request", http.StatusServiceUnavailable),
	api.Hide(ownership.ErrLeft, "shutting-down", "This instance is shutting down; repeat the request", http.StatusServiceUnavailable),
}
