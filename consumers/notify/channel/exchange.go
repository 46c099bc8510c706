package channel

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"
)

// MaxRetryAfter bounds what a provider can ask for.
const MaxRetryAfter = 24 * time.Hour

// Exchange observes one request of a client that hides its connection and headers.
type Exchange struct {
	written atomic.Bool
	after   atomic.Int64
}

type exchangeKey struct{}

// Observe returns a context for one request, and what is learnt of it. The client's
// transport must be a [Transport].
func Observe(ctx context.Context) (context.Context, *Exchange) {
	x := &Exchange{}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteHeaders: func() { x.written.Store(true) },
	})
	return context.WithValue(ctx, exchangeKey{}, x), x
}

// RetryAfter is what the response asked for, 0 for nothing.
func (x *Exchange) RetryAfter() time.Duration { return time.Duration(x.after.Load()) }

// Failure is the error of a request that had no response: [Refused] where it was not
// written, since then the provider cannot have accepted it, and [Unknown] otherwise.
func (x *Exchange) Failure(err error) *Error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // its text has the URL, and that the token
	}
	v := Unknown
	if !x.written.Load() {
		v = Refused
	}
	return Errorf(v, "no response: %w", err)
}

// Transport notes Retry-After for [Observe].
type Transport struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.RoundTripper.RoundTrip(r)
	if x, ok := r.Context().Value(exchangeKey{}).(*Exchange); ok && err == nil {
		x.after.Store(int64(RetryAfter(response.Header, time.Now())))
	}
	return response, err
}

// CloseIdleConnections closes those of the transport beneath.
func (t Transport) CloseIdleConnections() {
	if c, ok := t.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// RetryAfter reads the header Retry-After, in seconds or as a date (RFC 9110, section
// 10.2.3), at most [MaxRetryAfter]; 0 where there is none that can be read.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	var after time.Duration
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		after = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		after = at.Sub(now)
	}
	return min(max(after, 0), MaxRetryAfter)
}

// VerdictOfStatus is the verdict of an HTTP status that no reason explains further.
func VerdictOfStatus(status int) Verdict {
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return Refused
	case http.StatusUnauthorized, http.StatusForbidden:
		return Denied
	}
	if status >= 500 {
		return Unknown
	}
	return Rejected
}
