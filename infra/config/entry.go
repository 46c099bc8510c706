package config

import (
	"context"
	"fmt"
	"time"
)

// entry is a key in use. The client's mutex guards it.
type entry struct {
	value       string
	have        bool
	at          time.Time // of the reading that gave the value, its beginning
	err         error     // of the last reading
	failures    int       // in a row
	warned      time.Time // of the last warning of these; zero before the first
	began       time.Time // of the last reading
	due         time.Time // of the next one
	used        time.Time
	asked       bool          // a caller waits for a reading that begins from now on
	flying      bool          // it is being read
	now, next   chan struct{} // closed at the end of the reading in progress, and of the next
	subscribers []chan struct{}
}

// age is negative where there is no value.
func (e *entry) age(now time.Time) time.Duration {
	if !e.have {
		return -1
	}
	return now.Sub(e.at)
}

// entry finds or adds one.
func (c *Client) entry(k key) (*entry, error) {
	e := c.entries[k]
	if e == nil {
		if len(c.entries) >= c.cfg.MaxNames {
			return nil, fmt.Errorf("read %s: %w: %d are in use; raise MaxNames", k, ErrTooMany, c.cfg.MaxNames)
		}
		e = &entry{next: make(chan struct{})}
		c.entries[k] = e
	}
	e.used = time.Now()
	return e, nil
}

// requestReading wants a reading that begins from now on; the channel is closed at its end.
func (c *Client) requestReading(e *entry) <-chan struct{} {
	e.asked = true
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return e.next
}

// value returns a good value: at once if it is younger than TTL, else after a
// reading, or the last good one if that takes long or fails.
func (c *Client) value(ctx context.Context, k key) (string, error) {
	c.mu.Lock()
	e, err := c.entry(k)
	if err != nil {
		c.mu.Unlock()
		return "", err
	}
	defer func() { c.mu.Unlock() }()
	for range 2 { // the first may have begun before the process slept
		done := c.renewal(e)
		if done == nil {
			break
		}
		patience := time.Duration(0)
		if e.have {
			patience = c.cfg.Patience
		}
		c.mu.Unlock()
		err := c.wait(ctx, k, done, patience)
		c.mu.Lock()
		if err != nil {
			return "", err
		}
	}
	return c.bestValue(k, e)
}

// renewal is the end of the reading that a caller shall wait for; nil for none.
func (c *Client) renewal(e *entry) <-chan struct{} {
	now := time.Now()
	switch {
	case c.closed, e.have && now.Sub(e.at) < c.cfg.TTL:
		return nil
	case e.flying && e.have && (e.err != nil || now.Sub(e.at) < 2*c.cfg.TTL): // one waits, the others take what there is
		return nil
	case e.flying: // the first value, or the process slept
		return e.now
	case e.err != nil && now.Before(e.due): // it failed a moment ago
		return nil
	}
	return c.requestReading(e)
}

// wait waits for done, for ctx, and for patience unless that is 0.
func (c *Client) wait(ctx context.Context, k key, done <-chan struct{}, patience time.Duration) error {
	var enough <-chan time.Time
	if patience > 0 {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-done:
	case <-enough:
	case <-c.ended:
	case <-ctx.Done():
		return fmt.Errorf("read %s: %w", k, context.Cause(ctx))
	}
	return nil
}

// bestValue is the last good value if it is not too old.
func (c *Client) bestValue(k key, e *entry) (string, error) {
	switch age := e.age(time.Now()); {
	case !e.have && e.err != nil:
		return "", e.err
	case !e.have:
		return "", fmt.Errorf("read %s: %w", k, ErrClosed)
	case c.cfg.MaxStale > 0 && age > c.cfg.MaxStale:
		reason := e.err
		if reason == nil {
			reason = ErrUnavailable // a reading goes on, or the process slept
		}
		return "", fmt.Errorf("%w: %s was last read %s ago, at most %s are allowed: %w", ErrStale, k, age.Round(time.Millisecond), c.cfg.MaxStale, reason)
	}
	return e.value, nil
}
