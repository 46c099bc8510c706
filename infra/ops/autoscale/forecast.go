package autoscale

import (
	"math"
	"time"
)

// forecast is what the day before says about the next hours.
type forecast struct {
	totals []Total
	now    time.Time
	// known says that the last hours resemble those of a day ago, so that the next
	// ones will; ratio is of today's load to yesterday's.
	known bool
	ratio float64
}

const (
	aDay = 24 * time.Hour
	// compared are the hours that must resemble yesterday's, each part of them to
	// within unlike.
	compared, part = 2 * time.Hour, 30 * time.Minute
	unlike         = 0.25
	// ahead is how far a step down looks.
	ahead = 90 * time.Minute
	// forecastMinutes are those whose peak a step down goes by where the day is known.
	forecastMinutes = 10
)

// newForecast compares the last hours with those of a day ago. Where a fifth of the
// minutes is missing, nothing is known.
func newForecast(totals []Total, now time.Time) forecast {
	f := forecast{totals: totals, now: now}
	enough := func(from, length time.Duration) bool {
		return f.between(from, from+length).minutes >= 0.8*length.Minutes()
	}
	if !enough(-compared, compared) || !enough(-aDay-compared, compared) || !enough(-aDay, ahead) {
		return f
	}
	f.ratio = f.compare(-compared, compared)
	for from := -compared; from < 0; from += part {
		if !(math.Abs(f.compare(from, part)/f.ratio-1) <= unlike) { // not a number is unlike, too
			return f
		}
	}
	f.known = f.ratio > 0.5 && f.ratio < 2
	return f
}

// compare is the mean load of a part of today, to that of yesterday.
func (f forecast) compare(from, length time.Duration) float64 {
	today, before := f.between(from, from+length), f.between(from-aDay, from-aDay+length)
	return today.sum / today.minutes / (before.sum / before.minutes)
}

type loads struct{ sum, peak, minutes float64 }

// between adds up the minutes from now plus one duration to now plus another.
func (f forecast) between(from, to time.Duration) (l loads) {
	for _, t := range f.totals {
		if at := t.At.Sub(f.now); at >= from && at < to {
			l.sum, l.peak, l.minutes = l.sum+t.Load, max(l.peak, t.Load), l.minutes+1
		}
	}
	return l
}

// growth is by how much the load is expected to exceed its recent peak within some time;
// at least 1.
func (f forecast) growth(within time.Duration) float64 {
	recent, then := f.between(-forecastMinutes*time.Minute, 0).peak, f.between(-aDay, -aDay+within).peak
	if !f.known || recent <= 0 {
		return 1
	}
	return max(1, f.ratio*then/recent)
}

// exceeds is when a load is expected to be exceeded next: in a day, or earlier.
func (f forecast) exceeds(load float64) time.Time {
	next := f.now.Add(aDay)
	for _, t := range f.totals {
		if at := t.At.Add(aDay); at.After(f.now) && at.Before(next) && f.ratio*t.Load > load {
			next = at
		}
	}
	return next
}
