package config

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go"
)

// Errors to test with errors.Is. The messages say what to do.
var (
	// ErrNotFound: there is no such parameter, secret, or member of a secret.
	ErrNotFound = errors.New("not found")
	// ErrDenied: the role may not read it.
	ErrDenied = errors.New("access denied")
	// ErrKey: the role may not decrypt with the key, or the key is disabled or deleted.
	ErrKey = errors.New("cannot be decrypted")
	// ErrThrottled: too many calls by all of the account; it is tried again.
	ErrThrottled = errors.New("throttled")
	// ErrUnavailable: no answer, or an answer that reports a failure; it is retried.
	ErrUnavailable = errors.New("unavailable")
	// ErrStale: there is a value, which is older than MaxStale.
	ErrStale = errors.New("the last good value is too old")
	// ErrTooMany: more names than MaxNames are in use.
	ErrTooMany = errors.New("too many names")
	// ErrClosed: the Client was closed.
	ErrClosed = errors.New("the configuration client is closed")
)

// codes are the errors of the two services, by what they mean here.
var codes = map[string]error{
	"ParameterNotFound":         ErrNotFound,
	"ParameterVersionNotFound":  ErrNotFound,
	"ResourceNotFoundException": ErrNotFound,
	"InvalidRequestException":   ErrNotFound, // a secret that is marked for deletion, or has no current version

	"AccessDeniedException":       ErrDenied,
	"AccessDenied":                ErrDenied,
	"UnrecognizedClientException": ErrDenied,
	"ExpiredTokenException":       ErrDenied,
	"InvalidSignatureException":   ErrDenied,

	"InvalidKeyId":             ErrKey,
	"DecryptionFailure":        ErrKey,
	"KMSAccessDenied":          ErrKey,
	"KMSDisabledException":     ErrKey,
	"KMSNotFoundException":     ErrKey,
	"KMSInvalidStateException": ErrKey,

	"ThrottlingException":      ErrThrottled,
	"TooManyRequestsException": ErrThrottled,
	"RequestLimitExceeded":     ErrThrottled,

	"ValidationException":       ErrReference,
	"InvalidParameterException": ErrReference,
}

// kindOf sorts an error of the SDK. An unknown error counts as transient.
func kindOf(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return ErrUnavailable
	}
	kind, ok := codes[api.ErrorCode()]
	if !ok {
		return ErrUnavailable
	}
	if kind == ErrDenied && aboutKey(api.ErrorMessage()) {
		return ErrKey
	}
	return kind
}

// explain says what to do about an error of a call for k.
func explain(err error, k key) error {
	kind := kindOf(err)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("read %s: %w: no answer in time: %w", k, kind, err)
	}
	return fmt.Errorf("read %s: %w: %s: %w", k, kind, advice(kind, k), err)
}

func advice(kind error, k key) string {
	switch kind {
	case ErrNotFound:
		return "create it, or correct the name; is it the right region and account?"
	case ErrDenied:
		return fmt.Sprintf("allow %s on it to the role of this program, and check that the credentials are valid", k.kind.action())
	case ErrKey:
		return "allow kms:Decrypt with its key to the role of this program, and check that the key is enabled"
	case ErrThrottled:
		return "it is read again later; raise the TTL, or the throughput limit of the Parameter Store"
	case ErrReference:
		return "correct the name"
	}
	return "it is read again later; check the network, the endpoint and the region"
}
