package migrate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/migrate/codec"
)

// attempts and attemptTimeout bound one request; with the waits between them, a
// store may be gone for about ten seconds before a verb gives up.
const (
	attempts       = 9
	attemptTimeout = 15 * time.Second
)

// retry runs fn until it succeeds, fails for good, or has been tried often
// enough. fn must be harmless when its effect happened and its answer was lost.
func retry(ctx context.Context, what string, fn func(context.Context) error) error {
	for i := 0; ; i++ {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := fn(attempt)
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%s: %w", what, errors.Join(ctx.Err(), err))
		case permanent(err) || i == attempts-1:
			return fmt.Errorf("%s: %w", what, err)
		}
		if err := sleep(ctx, backoff(i)); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
}

// backoff doubles from 20 ms to 2 s, each with full jitter above a half.
func backoff(attempt int) time.Duration {
	d := min(20*time.Millisecond<<min(attempt, 10), 2*time.Second)
	return d/2 + rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// forGood are DynamoDB's refusals that another attempt will not change.
var forGood = map[string]bool{"ValidationException": true, "ResourceNotFoundException": true, "AccessDeniedException": true,
	"ConditionalCheckFailedException": true, "UnrecognizedClientException": true, "ItemCollectionSizeLimitExceededException": true,
	"InvalidSignatureException": true, "MissingAuthenticationTokenException": true}

// refusals are MongoDB's error codes that another attempt will not change:
// authorization, commands and options it does not take, collections that are
// or are not there, views, duplicate keys, and positions that are gone.
var refusals = map[int]bool{2: true, 9: true, 13: true, 14: true, 18: true, 26: true, 48: true, 59: true, 66: true, 72: true, 73: true,
	81: true, 101: true, 115: true, 121: true, 166: true, 211: true, 260: true, 263: true, 280: true, 286: true, 11000: true, 11001: true, 10334: true,
	40324: true, 40573: true}

func permanent(err error) bool {
	var fit *codec.FitError
	if errors.As(err, &fit) {
		return true
	}
	for _, s := range []error{ErrServiceOwned, ErrStranger, ErrHistoryLost, errLost, errCrash, codec.ErrHint, codec.ErrAttribute, codec.ErrDigits} {
		if errors.Is(err, s) {
			return true
		}
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return forGood[api.ErrorCode()] || cancelledByCondition(err)
	}
	var server mongo.ServerError
	if errors.As(err, &server) {
		for code := range refusals {
			if server.HasErrorCode(code) {
				return true
			}
		}
	}
	return false
}

// cancelledByCondition reports whether a transaction was refused by a
// condition, rather than for a reason that passes.
func cancelledByCondition(err error) bool {
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return false
	}
	for _, r := range cancelled.CancellationReasons {
		if r.Code != nil && (*r.Code == "ConditionalCheckFailed" || *r.Code == "ValidationError") {
			return true
		}
	}
	return false
}

func conditionFailed(err error) bool {
	var failed *types.ConditionalCheckFailedException
	return errors.As(err, &failed) || cancelledByCondition(err)
}

// unreachable reports whether nothing answered at the endpoint.
func unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns) || err != nil && strings.Contains(err.Error(), "server selection")
}
