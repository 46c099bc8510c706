// Package mongoerr classifies MongoDB's errors by their codes, as the server's
// manual lists them: https://www.mongodb.com/docs/manual/reference/error-codes/
package mongoerr

import (
	"context"
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/mongo"
)

// The codes that Banyan's programs decide by.
const (
	BadValue                  = 2
	FailedToParse             = 9
	Unauthorized              = 13
	TypeMismatch              = 14
	AuthenticationFailed      = 18
	IllegalOperation          = 20
	NamespaceNotFound         = 26
	CursorNotFound            = 43
	NamespaceExists           = 48
	MaxTimeMSExpired          = 50
	CommandNotFound           = 59
	WriteConcernTimeout       = 64
	ImmutableField            = 66
	InvalidOptions            = 72
	InvalidNamespace          = 73
	CommandNotSupported       = 115
	DocumentValidationFailure = 121
	CommandNotSupportedOnView = 166
	QueryPlanKilled           = 175
	SnapshotTooOld            = 239
	SnapshotUnavailable       = 246
	InvalidResumeToken        = 260
	ChangeStreamFatalError    = 280
	ChangeStreamHistoryLost   = 286
	CollectionUUIDMismatch    = 361
	BSONObjectTooLarge        = 10334
	DuplicateKey              = 11000
	IDLUnknownField           = 40415
	NoReplicaSet              = 40573 // change streams need one
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

// permanent are the answers that the same request will get again: options, stages
// and commands that the server does not know, missing rights, views, images that are
// required and absent, positions that are gone.
var permanent = []int{
	BadValue, FailedToParse, Unauthorized, TypeMismatch, AuthenticationFailed, IllegalOperation, 47, NamespaceExists, CommandNotFound,
	ImmutableField, InvalidOptions, InvalidNamespace, CommandNotSupported, DocumentValidationFailure,
	CommandNotSupportedOnView, CollectionUUIDMismatch, InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost,
	BSONObjectTooLarge, 40324, IDLUnknownField, NoReplicaSet,
}

// notPrimary are the codes of a server that is not, or no longer, the primary, or
// shutting down; see the driver specification on server discovery.
var notPrimary = []int{91, 189, NotWritablePrimary, 11600, 11602, 13435, 13436}

// IsPermanent reports whether the server will refuse the same request again.
func IsPermanent(err error) bool { return HasCode(err, permanent...) }

// IsTransient reports whether another attempt may succeed: after lost connections,
// timeouts, elections and what the server labels so. It is false for errors that
// are not the driver's.
func IsTransient(err error) bool {
	if IsPermanent(err) {
		return false
	}
	if mongo.IsNetworkError(err) || mongo.IsTimeout(err) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var server mongo.ServerError
	return errors.As(err, &server) && (slices.ContainsFunc(transientLabels, server.HasErrorLabel) || HasCode(err, notPrimary...))
}

var transientLabels = []string{"RetryableWriteError", "TransientTransactionError"}
