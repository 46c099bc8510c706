package mongoclient

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

// transientLabels are the labels of transient errors, by the driver specifications on retryable reads and
// writes, transactions, and overload. The driver gives the first to every operation
// that met a cleared pool, be it in a transaction or not.
var transientLabels = []string{"TransientTransactionError", "RetryableWriteError", "NetworkError", "RetryableError"}

// Codes of a server that is not, or no longer, the primary, or is shutting down. The server sets
// labels only on those of writes.
var notPrimary = []int{91, 189, 10107, 11600, 11602, 13435, 13436}

// isTransient reports whether an operation may succeed when it is run again. An error of the
// pool has no label if the driver's retry failed at a log-in; it is recognized by
// its method.
func isTransient(err error) bool {
	var pool interface{ Retryable() bool }
	if errors.As(err, &pool) && pool.Retryable() {
		return true
	}
	var labeled mongo.LabeledError
	if errors.As(err, &labeled) {
		for _, label := range transientLabels {
			if labeled.HasErrorLabel(label) {
				return true
			}
		}
	}
	return mongoerr.HasCode(err, notPrimary...)
}

// Codes of the server: Unauthorized, AuthenticationFailed, and AtlasError.
var unauthorized = []int{mongoerr.Unauthorized, mongoerr.AuthenticationFailed, 8000}

// isUnauthorized reports whether the server refused the credentials: at a log-in, or a command
// on a connection whose user was dropped or lost a role since.
func isUnauthorized(err error) bool { return mongoerr.HasCode(err, unauthorized...) }

// logInRefused is isUnauthorized for the driver's own errors, as a monitor sees them: an
// operation that the driver retried may return its first error. An error at a
// log-in is recognized by its method.
func logInRefused(err error) bool {
	var logIn interface{ Inner() error }
	return errors.As(err, &logIn) && !mongo.IsNetworkError(err) && !mongo.IsTimeout(err)
}
