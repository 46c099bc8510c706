// Package mongoerr tells MongoDB's errors apart by their codes, as the server's
// manual lists them: https://www.mongodb.com/docs/manual/reference/error-codes/
package mongoerr

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// The codes that Banyan's programs decide by.
const (
	BadValue                  = 2
	FailedToParse             = 9
	Unauthorized              = 13
	TypeMismatch              = 14
	AuthenticationFailed      = 18
	NamespaceNotFound         = 26
	NamespaceExists           = 48
	CommandNotFound           = 59
	ImmutableField            = 66
	InvalidOptions            = 72
	InvalidNamespace          = 73
	NoSuchTransaction         = 251
	CommandNotSupported       = 115
	DocumentValidationFailure = 121
	CommandNotSupportedOnView = 166
	SnapshotTooOld            = 239
	SnapshotUnavailable       = 246
	InvalidResumeToken        = 260
	ChangeStreamFatalError    = 280
	ChangeStreamHistoryLost   = 286
	BSONObjectTooLarge        = 10334
	NotWritablePrimary        = 10107
)

// HasCode reports whether err is an answer of the server that carries one of codes,
// alone, among write errors or as a write concern error.
func HasCode(err error, codes ...int) bool {
	var server mongo.ServerError
	if !errors.As(err, &server) {
		return false
	}
	for _, code := range codes {
		if server.HasErrorCode(code) {
			return true
		}
	}
	return false
}
