// Package retry sends one request to a store until it succeeds, fails with a permanent
// error, or was attempted often enough.
package retry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/mongoerr"
)

// Attempts and AttemptTimeout bound one request. With the delays between them a
// store may be unavailable for about ten seconds before a verb fails.
const (
	Attempts       = 9
	AttemptTimeout = 15 * time.Second
)

// delays are those between attempts.
var delays = backoff.Backoff{Min: 20 * time.Millisecond, Max: 2 * time.Second}

// Do calls send until it succeeds, its error is permanent, or it was called
// Attempts times; what names the request in the error. send must be harmless when
// its effect happened and its answer was lost.
func Do(ctx context.Context, what string, send func(context.Context) error) error {
	for i := 0; ; i++ {
		attempt, cancel := context.WithTimeout(ctx, AttemptTimeout)
		err := send(attempt)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), err))
		case IsPermanent(err) || i == Attempts-1:
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := Wait(ctx, i); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// Wait sleeps after attempt has failed, counted from 0: from 20 ms, doubling up to
// 2 s. It returns the cause of ctx where that ends first.
func Wait(ctx context.Context, attempt int) error { return delays.Wait(ctx, attempt) }

// PermanentError is an error that another attempt will not change. Compare it by
// identity, with errors.Is.
type PermanentError struct{ text string }

// Permanent makes a sentinel error that [Do] does not retry.
func Permanent(text string) *PermanentError { return &PermanentError{text} }

// Error returns the text.
func (e *PermanentError) Error() string { return e.text }

// Permanent reports that another attempt will not change it.
func (e *PermanentError) Permanent() bool { return true }

// permanentCodes are the codes of MongoDB that are permanent for the requests of a
// migration, besides those that are permanent for all: collections that do not exist,
// duplicate keys, and (without a name) InvalidLength, OutdatedClient, KeyNotFound and
// OperationNotSupportedInTransaction.
var permanentCodes = []int{mongoerr.NamespaceNotFound, mongoerr.DuplicateKey, 11001, 81, 101, 211, 263}

// IsPermanent reports whether another attempt will fail in the same way: by the error's own
// method Permanent() bool, such as those of codec have, or by the code of the store.
func IsPermanent(err error) bool {
	if final, ok := errors.AsType[interface {
		error
		Permanent() bool
	}](err); ok && final.Permanent() {
		return true
	}
	if reasons := dynamo.CancellationReasons(err); reasons != nil {
		for _, reason := range reasons {
			if code := aws.ToString(reason.Code); code == dynamo.CodeConditionFailed || code == "ValidationError" {
				return true
			}
		}
		return false
	}
	return awserr.IsPermanent(err) || mongoerr.IsPermanent(err) || mongoerr.HasCode(err, permanentCodes...)
}

// IsUnreachable reports whether no server answered at the endpoint.
func IsUnreachable(err error) bool {
	if err == nil {
		return false
	}
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) || strings.Contains(err.Error(), "server selection")
}

// Reachable adds what to check where a store could not be reached at all.
func Reachable(store, settings string, err error) error {
	if IsUnreachable(err) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s cannot be reached; check %s: %w", store, settings, err)
	}
	return err
}
