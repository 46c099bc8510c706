package config

import (
	"context"
	"log/slog"
	"time"
)

// idle is after how many TTL an unused name is no longer read.
const idle = 10

// run is the goroutine: one flight after the other.
func (c *Client) run(ctx context.Context) {
	defer close(c.ended)
	for ctx.Err() == nil {
		batch, pause := c.nextBatch(time.Now())
		if len(batch) > 0 {
			c.recordOutcomes(c.fetch(ctx, batch))
			continue
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-c.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
}

// nextBatch picks the names to read now, or says how long there are none.
func (c *Client) nextBatch(now time.Time) (batch []key, pause time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	pause = c.cfg.TTL
	for k, e := range c.entries {
		if len(e.subscribers) == 0 && !e.asked && now.Sub(e.used) > idle*c.cfg.TTL {
			delete(c.entries, k)
			continue
		}
		wait, wanted := c.pauseOf(e, now)
		switch {
		case !wanted:
		case wait > 0:
			pause = min(pause, wait)
		default:
			e.began, e.asked, e.flying = now, false, true
			e.now, e.next = e.next, make(chan struct{})
			batch = append(batch, k)
		}
	}
	return batch, pause
}

// pauseOf is how long until e is to be read, if it is.
func (c *Client) pauseOf(e *entry, now time.Time) (wait time.Duration, wanted bool) {
	if e.asked {
		return e.began.Add(c.cfg.Gap).Sub(now), true
	}
	return e.due.Sub(now), !e.due.IsZero() || len(e.subscribers) > 0
}

// outcome is the result of reading a name.
type outcome struct {
	value string
	err   error
}

// warnEvery is how often a name that cannot be read is logged. Nobody else sees that a secret
// was deleted until the next program does not start.
const warnEvery = 10 * time.Minute

// recordOutcomes records the outcomes of a flight, and wakes the callers that wait for them.
func (c *Client) recordOutcomes(outcomes map[key]outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, o := range outcomes {
		e := c.entries[k]
		e.flying = false
		close(e.now)
		if e.err = o.err; o.err != nil {
			e.failures++
			e.due = time.Now().Add(c.backoff(e.failures))
			if now := time.Now(); e.have && now.Sub(e.warned) >= warnEvery {
				e.warned = now
				c.log().Warn("a setting cannot be read, and its last value stays in force", "setting", k.String(), "age", e.age(now).String(), "error", o.err)
			}
			continue
		}
		if !e.warned.IsZero() {
			e.warned = time.Time{}
			c.log().Info("a setting can be read again", "setting", k.String(), "failures", e.failures)
		}
		e.failures = 0
		e.due = time.Now().Add(c.jittered(c.cfg.TTL, 0.2))
		changed := e.have && e.value != o.value
		e.value, e.have, e.at = o.value, true, e.began
		if changed {
			e.notifySubscribers()
		}
	}
}

func (c *Client) log() *slog.Logger {
	if c.cfg.Log != nil {
		return c.cfg.Log
	}
	return slog.Default()
}

// notifySubscribers sends to each subscriber that has not been notified yet.
func (e *entry) notifySubscribers() {
	for _, s := range e.subscribers {
		select {
		case s <- struct{}{}:
		default:
		}
	}
}

// jittered is d less a random share of it: instances that were started together
// do not read together for ever, and none reads late.
func (c *Client) jittered(d time.Duration, share float64) time.Duration {
	return d - time.Duration(share*c.cfg.Random()*float64(d))
}

func (c *Client) backoff(failures int) time.Duration {
	d := c.cfg.Backoff << min(failures-1, 20)
	return c.jittered(max(min(d, c.cfg.TTL), time.Millisecond), 0.5)
}
