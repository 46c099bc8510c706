package users

import (
	"net/http"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/httpjson"
)

// problems is what each error looks like from outside.
var problems = httpjson.Problems{
	httpjson.Tell(ErrInvalid, "invalid", "Invalid input", http.StatusBadRequest),
	httpjson.Tell(ErrCursor, "cursor", "Unusable cursor", http.StatusBadRequest),
	httpjson.Tell(ErrNotFound, "not-found", "User not found", http.StatusNotFound),
	httpjson.Tell(ErrEmailTaken, "email-taken", "E-mail taken", http.StatusConflict),
	httpjson.Tell(ErrIDTaken, "id-taken", "Id taken", http.StatusConflict),
	httpjson.Tell(ErrVersion, "version", "Version has changed", http.StatusPreconditionFailed),
	httpjson.Hide(ErrCredentials, "credentials", "Wrong e-mail or password", http.StatusUnauthorized),
	httpjson.Hide(ErrNotPublished, "not-published", "Stored but not published; repeat the request", http.StatusServiceUnavailable),
	httpjson.Hide(ownership.ErrHeld, "held", "Writes are held for a change of owner; repeat the request", http.StatusServiceUnavailable),
	httpjson.Hide(ownership.ErrNoLease, "no-lease", "This instance cannot tell who owns the users; repeat the request", http.StatusServiceUnavailable),
	httpjson.Hide(ownership.ErrLeft, "shutting-down", "This instance is shutting down; repeat the request", http.StatusServiceUnavailable),
}
