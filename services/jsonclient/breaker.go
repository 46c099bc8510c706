package jsonclient

import (
	"errors"
	"fmt"

	"github.com/sony/gobreaker/v2"
)

// breaker stops sending after failures in a row, then lets one request through to
// find out whether the service is back.
type breaker = gobreaker.CircuitBreaker[Answer]

func newBreaker(cfg Config) *breaker {
	return gobreaker.NewCircuitBreaker[Answer](gobreaker.Settings{
		Name: cfg.BaseURL, Timeout: cfg.BreakFor,
		ReadyToTrip:  func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= cfg.BreakAfter },
		IsSuccessful: func(err error) bool { return !errors.Is(err, ErrUnavailable) },
		IsExcluded:   func(err error) bool { return errors.As(err, new(inconclusive)) },
	})
}

// inconclusive is an error that says nothing about the service: the caller left, or
// the service is there and asks to wait.
type inconclusive struct{ error }

func (e inconclusive) Unwrap() error { return e.error }

// breakerError makes an open breaker ErrUnavailable.
func breakerError(err error) error {
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return fmt.Errorf("%w: too many requests in a row have failed: %w", ErrUnavailable, err)
	}
	return err
}
