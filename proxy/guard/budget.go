package guard

import (
	"fmt"
	"time"
)

// Budget is how much worse than the legacy app the new API may do on a route before the
// route is turned back, as the route file has it. A value that is 0 is no budget.
type Budget struct {
	// How many more of each 100 requests may fail than of those that the legacy app answers
	// in the same time: no answer, one that is cut or malformed, a status of 500 and above, or
	// one that cannot be mapped. Default: errors turn nothing back.
	// Example: 1
	Errors float64 `yaml:"errors"`
	// How many more may be slow. Default: slowness turns nothing back.
	// Example: {over: 300ms, share: 5}
	Latency Latency `yaml:"latency"`
	// How many of each 100 compared answers may differ, beyond what the route's rules explain,
	// while the new API's answers go to clients. Default: differences turn nothing back.
	// Example: 0.1
	Diffs float64 `yaml:"diffs"`
	// After how long a route that was turned back is tried again, twice as long each time that
	// fails, up to a day. Default: it stays with the legacy app until an operator decides.
	// Example: 15m
	RetryAfter time.Duration `yaml:"retryAfter"`
	// The percentage of the subjects that try, for as long as retryAfter and until enough of
	// their requests went well. Default: 1.
	// Example: 5
	RetryPercent float64 `yaml:"retryPercent"`
	// For how many seconds things must be bad at least. Default: 3s.
	// Example: 10s
	Sustained time.Duration `yaml:"sustained"`
	// The mean time between two turns without a cause, at least, of one process and route,
	// were the new API always exactly as bad as it may be. Default: 720h.
	// Example: 2160h
	FalseAlarm time.Duration `yaml:"falseAlarm"`
}

// Latency is a budget of slow answers.
type Latency struct {
	// An answer is slow when its first byte takes longer. Requests with a body are not judged:
	// how long they take is the client's doing, too. Required.
	// Example: 300ms
	Over time.Duration `yaml:"over"`
	// How many more of each 100 may be slow than of the legacy app's in the same time. Required.
	// Example: 5
	Share float64 `yaml:"share"`
}

// Validate says which value is of no use, by its key.
func (b Budget) Validate() error {
	for _, share := range []struct {
		key   string
		value float64
	}{{"errors", b.Errors}, {"latency.share", b.Latency.Share}, {"diffs", b.Diffs}, {"retryPercent", b.RetryPercent}} {
		if !(share.value >= 0 && share.value <= 90) {
			return fmt.Errorf("invalid %s %v: it must be a percentage from 0 to 90", share.key, share.value)
		}
	}
	for _, time := range []struct {
		key   string
		value time.Duration
	}{{"latency.over", b.Latency.Over}, {"retryAfter", b.RetryAfter}, {"sustained", b.Sustained}, {"falseAlarm", b.FalseAlarm}} {
		if time.value < 0 {
			return fmt.Errorf("invalid %s %v: it must not be negative", time.key, time.value)
		}
	}
	switch {
	case (b.Latency.Over > 0) != (b.Latency.Share > 0):
		return fmt.Errorf("invalid latency: it needs both over and share")
	case b.Errors == 0 && b.Latency.Share == 0 && b.Diffs == 0:
		return fmt.Errorf("invalid budget: it needs at least one of errors, latency and diffs")
	case b.RetryPercent > 0 && b.RetryAfter == 0:
		return fmt.Errorf("invalid retryPercent: it needs retryAfter")
	case b.Sustained > time.Hour, b.FalseAlarm > 0 && b.FalseAlarm < time.Hour:
		return fmt.Errorf("invalid sustained or falseAlarm: the one is at most, the other at least an hour")
	}
	return nil
}

const longestRetry = 24 * time.Hour

// retryAfter is how long the route stays back after so many attempts.
func (b Budget) retryAfter(attempt int) time.Duration {
	d := b.RetryAfter
	for ; attempt > 1 && d < longestRetry; attempt-- {
		d *= 2
	}
	return max(min(d, longestRetry), b.RetryAfter)
}
