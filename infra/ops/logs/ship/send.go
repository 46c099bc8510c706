package ship

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/ops/logs/internal/opensearch"
)

// send settles the first n entries that wait, or leaves those that it could not.
func (b *batch) send(n int) error {
	now, later := b.waiting[:n:n], b.waiting[n:]
	left, err := b.settle(now)
	for _, x := range now {
		b.bytes -= x.item.Size()
	}
	for _, x := range left {
		b.bytes += x.item.Size()
	}
	b.waiting = slices.Concat(left, later)
	for _, x := range now {
		b.settled(x)
	}
	if err == nil && len(b.letters) >= maxLetters {
		return b.bury()
	}
	return err
}

// settled notes what a line tells, in the order of the lines.
func (b *batch) settled(x *entry) {
	if x.state == pending {
		return
	}
	delete(b.ids, x.item.ID)
	b.gaps.note(x)
	if x.state == created {
		b.report.note(x)
	}
}

// settle sends entries until none is left, or time is up.
func (b *batch) settle(entries []*entry) (left []*entry, err error) {
	pause := b.cfg.Pause
	for len(entries) > 0 {
		if err := b.ctx.Err(); err != nil {
			return entries, errors.Join(err, b.report.last)
		}
		before := len(entries)
		var wait time.Duration
		if entries, wait, err = b.attempt(entries); err != nil {
			b.report.last = err
			if isTooLarge(err) {
				return b.divide(entries, err)
			}
		}
		if len(entries) == 0 {
			break
		}
		b.report.Retries++
		if err == nil && len(entries) < before {
			pause = b.cfg.Pause // there is progress
		}
		if !sleep(b.ctx, max(wait, time.Duration((0.5+b.cfg.Jitter()/2)*float64(pause)))) {
			return entries, errors.Join(b.ctx.Err(), b.report.last)
		}
		pause = min(2*pause, b.cfg.MaxPause)
	}
	return nil, nil
}

// attempt sends entries once and returns those to send again. Those that can go
// without their fields are sent again without a pause being due for them.
func (b *batch) attempt(entries []*entry) (again []*entry, wait time.Duration, err error) {
	items := make([]opensearch.Item, len(entries))
	for i, x := range entries {
		items[i] = x.item
	}
	b.report.Requests++
	statuses, err := b.cfg.Bulk.Bulk(b.ctx, items)
	if err != nil {
		if e, ok := errors.AsType[*opensearch.Error](err); ok {
			wait = e.After
		}
		return entries, wait, err
	}
	for i, x := range entries {
		if b.outcome(x, statuses[i]) {
			again = append(again, x)
		}
	}
	return again, 0, nil
}

// outcome settles an entry, or says that it is to be sent again.
func (b *batch) outcome(x *entry, s opensearch.Status) (again bool) {
	switch {
	case s.Code >= 200 && s.Code < 300:
		b.report.Created++
		x.state = created
		return false
	case s.Code == http.StatusConflict:
		b.report.Doubled++
		x.state = doubled
		return false
	case !isRefusal(s):
		b.report.last = fmt.Errorf("%s: status %d: %s: %s", x.item.Index, s.Code, s.Type, s.Reason)
		return true
	}
	return b.refused(x, fmt.Sprintf("status %d: %s: %s", s.Code, s.Type, s.Reason))
}

// refused takes the fields away, or makes a dead letter.
func (b *batch) refused(x *entry, why string) (again bool) {
	if x.fields {
		x.strip(why)
		b.report.Stripped++
		return true
	}
	x.state = refused
	b.letters = append(b.letters, x.letter(why))
	return false
}

// notItsFault are errors with the status 400 that any document would meet.
var notItsFault = []string{"validation_exception", "index_closed_exception", "invalid_index_name_exception", "action_request_validation_exception"}

// isRefusal says whether it is the document that OpenSearch does not take.
func isRefusal(s opensearch.Status) bool {
	return s.Code == http.StatusRequestEntityTooLarge || s.Code == http.StatusBadRequest && !slices.Contains(notItsFault, s.Type)
}

// isTooLarge says whether a request as a whole was refused for its size. Any other
// refusal of a whole request, 400 too, is not for the documents in it.
func isTooLarge(err error) bool {
	e, ok := errors.AsType[*opensearch.Error](err)
	return ok && e.Status == http.StatusRequestEntityTooLarge
}

// divide settles the halves of a request that was refused one after the other,
// down to the one document that is to blame.
func (b *batch) divide(entries []*entry, why error) (left []*entry, err error) {
	if len(entries) == 1 {
		if b.refused(entries[0], why.Error()) {
			return b.settle(entries)
		}
		return nil, nil
	}
	half := len(entries) / 2
	if left, err = b.settle(entries[:half]); err != nil {
		return slices.Concat(left, entries[half:]), err
	}
	return b.settle(entries[half:])
}

// sleep is false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func randomJitter() float64 { return rand.Float64() }
