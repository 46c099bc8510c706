package ship

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/opensearch"
)

// sendWaiting sends the first n entries that wait, and keeps those that it could not.
func (b *batch) sendWaiting(n int) error {
	now, later := b.waiting[:n:n], b.waiting[n:]
	left, err := b.sendUntilDone(now)
	for _, x := range now {
		b.bytes -= x.item.Size()
	}
	for _, x := range left {
		b.bytes += x.item.Size()
	}
	b.waiting = slices.Concat(left, later)
	for _, x := range now {
		b.recordOutcome(x)
	}
	if err == nil && len(b.letters) >= maxLetters {
		return b.writeDeadLetters()
	}
	return err
}

// recordOutcome records gaps and reports, in the order of the lines.
func (b *batch) recordOutcome(x *entry) {
	if x.state == pending {
		return
	}
	delete(b.ids, x.item.ID)
	b.gaps.note(x)
	if x.state == created {
		b.report.addEntry(x)
	}
}

// sendUntilDone sends entries until none is left, or time is up.
func (b *batch) sendUntilDone(entries []*entry) (left []*entry, err error) {
	delays := backoff.Backoff{Min: b.cfg.Pause, Max: b.cfg.MaxPause}
	for attempt := 0; len(entries) > 0; attempt++ {
		if err := b.ctx.Err(); err != nil {
			return entries, errors.Join(err, b.report.last)
		}
		before := len(entries)
		var wait time.Duration
		if entries, wait, err = b.sendOnce(entries); err != nil {
			b.report.last = err
			if isTooLarge(err) {
				return b.sendHalves(entries, err)
			}
		}
		if len(entries) == 0 {
			break
		}
		b.report.Retries++
		if err == nil && len(entries) < before {
			attempt = 0 // there is progress
		}
		if backoff.Sleep(b.ctx, max(wait, delays.Delay(attempt))) != nil {
			return entries, errors.Join(b.ctx.Err(), b.report.last)
		}
	}
	return nil, nil
}

// sendOnce sends entries once and returns those to send again. Those that can go
// without their fields are sent again without a pause being due for them.
func (b *batch) sendOnce(entries []*entry) (again []*entry, wait time.Duration, err error) {
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
		if b.applyStatus(x, statuses[i]) {
			again = append(again, x)
		}
	}
	return again, 0, nil
}

// applyStatus records the status of an entry, and reports whether to send it again.
func (b *batch) applyStatus(x *entry, s opensearch.Status) (again bool) {
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
	return b.refuseEntry(x, fmt.Sprintf("status %d: %s: %s", s.Code, s.Type, s.Reason))
}

// refuseEntry removes the fields of an entry to send it again, or makes it a dead letter.
func (b *batch) refuseEntry(x *entry, why string) (again bool) {
	if x.fields {
		x.strip(why)
		b.report.Stripped++
		return true
	}
	x.state = refused
	b.letters = append(b.letters, x.deadLetter(why))
	return false
}

// requestFaults are errors with the status 400 that any document would meet.
var requestFaults = []string{"validation_exception", "index_closed_exception", "invalid_index_name_exception", "action_request_validation_exception"}

// isRefusal reports whether OpenSearch does not accept the document itself.
func isRefusal(s opensearch.Status) bool {
	return s.Code == http.StatusRequestEntityTooLarge || s.Code == http.StatusBadRequest && !slices.Contains(requestFaults, s.Type)
}

// isTooLarge reports whether a request as a whole was refused for its size. Any other
// refusal of a whole request, 400 too, is not for the documents in it.
func isTooLarge(err error) bool {
	e, ok := errors.AsType[*opensearch.Error](err)
	return ok && e.Status == http.StatusRequestEntityTooLarge
}

// sendHalves sends the halves of a request that was refused one after the other,
// down to the one document that is too large.
func (b *batch) sendHalves(entries []*entry, why error) (left []*entry, err error) {
	if len(entries) == 1 {
		if b.refuseEntry(entries[0], why.Error()) {
			return b.sendUntilDone(entries)
		}
		return nil, nil
	}
	half := len(entries) / 2
	if left, err = b.sendUntilDone(entries[:half]); err != nil {
		return slices.Concat(left, entries[half:]), err
	}
	return b.sendUntilDone(entries[half:])
}
