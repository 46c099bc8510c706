package notify

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/consumers/notify/store"
)

// hours are a part of each day, in minutes since midnight; from == to is none. They may
// go past midnight.
type hours struct{ from, to int }

// parseHours reads "22:00-07:00" or "off".
func parseHours(text string) (hours, error) {
	if text == "off" {
		return hours{}, nil
	}
	from, to, ok := strings.Cut(text, "-")
	a, errFrom := time.Parse("15:04", from)
	b, errTo := time.Parse("15:04", to)
	if !ok || errFrom != nil || errTo != nil {
		return hours{}, fmt.Errorf(`quiet hours must be such as "22:00-07:00", or "off", not %q`, text)
	}
	return hours{a.Hour()*60 + a.Minute(), b.Hour()*60 + b.Minute()}, nil
}

// until is when the hours end in which now is; false where it is in none. now has the
// user's zone, and its wall clock counts, also where a day has 23 or 25 hours.
func (h hours) until(now time.Time) (time.Time, bool) {
	minute := now.Hour()*60 + now.Minute()
	tomorrow := 0
	switch {
	case h.from == h.to:
		return time.Time{}, false
	case h.from < h.to && (minute < h.from || minute >= h.to),
		h.from > h.to && minute < h.from && minute >= h.to:
		return time.Time{}, false
	case h.from > h.to && minute >= h.from:
		tomorrow = 1
	}
	end := time.Date(now.Year(), now.Month(), now.Day()+tomorrow, h.to/60, h.to%60, 0, 0, now.Location())
	if !end.After(now) { // the hour that the clock shows a second time
		end = now.Add(time.Hour)
	}
	return end, true
}

// quietUntil is when the quiet hours of a user end, and their time within the spread after
// that. Settings that cannot be read count as none.
func (e *Engine) quietUntil(user string, settings store.Settings, now time.Time) (time.Time, bool) {
	zone := e.cfg.Zone
	if own, err := time.LoadLocation(settings.Zone); err == nil && settings.Zone != "" {
		zone = own
	}
	quiet := e.quiet
	if own, err := parseHours(cmp.Or(settings.Quiet, "-")); err == nil {
		quiet = own
	}
	end, ok := quiet.until(now.In(zone))
	if !ok {
		return time.Time{}, false
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(user))
	return end.Add(e.cfg.Spread * time.Duration(h.Sum32()%1024) / 1024).UTC().Truncate(time.Millisecond), true
}
