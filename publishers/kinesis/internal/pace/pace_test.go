package pace_test

import (
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/publishers/kinesis/internal/pace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bucket is a shard that takes a share of its limit, of which others leave so much.
type bucket struct {
	rate, level float64
	at          time.Time
}

func (b *bucket) take(now time.Time, share float64) bool {
	b.level = min(b.level+now.Sub(b.at).Seconds()*b.rate, b.rate)
	b.at = now
	if b.level < share {
		return false
	}
	b.level -= share
	return true
}

// drive sends requests of a share each to b from now on for d, back to back but
// for what r and the back-off make them wait, and returns the clock, what was taken and how
// often it was refused.
func drive(r *pace.Rate, b *bucket, now time.Time, d time.Duration, share float64) (end time.Time, taken float64, refused int) {
	const roundTrip, backoff = 10 * time.Millisecond, 25 * time.Millisecond
	failures := 0
	for end = now.Add(d); now.Before(end); now = now.Add(roundTrip) {
		now = now.Add(r.Wait(now))
		if b.take(now, share) {
			taken += share
			failures = 0
			r.Accepted(now, share)
			continue
		}
		refused++
		r.Throttled(now)
		now = now.Add(backoff << min(failures, 6))
		failures++
	}
	return now, taken, refused
}

var start = time.Unix(1_700_000_000, 0)

func TestNoLimitBeforeARefusal(t *testing.T) {
	r := pace.New(0.1)
	for i := range 100 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		if d := r.Wait(now); d != 0 {
			t.Fatalf("request %d has to wait %v", i, d)
		}
		r.Accepted(now, 1)
	}
	if r.Limit() != 0 {
		t.Errorf("limit %v", r.Limit())
	}
}

// TestTheRateIsLearnt: a shard of which others leave a part gives all of that
// part, and refuses much less than it would without the learning.
func TestTheRateIsLearnt(t *testing.T) {
	for _, share := range []float64{0.01, 0.06} {
		for _, left := range []float64{0.5, 1} {
			minute := func(increase float64) (taken float64, refused int) {
				r, b := pace.New(increase), bucket{rate: left, level: left, at: start}
				now, _, _ := drive(&r, &b, start, 30*time.Second, share)
				_, taken, refused = drive(&r, &b, now, time.Minute, share)
				return taken, refused
			}
			_, without := minute(0)
			taken, refused := minute(0.1)
			if used := taken / (left * 60); used < 0.95 || used > 1.05 || refused > without*2/3 {
				t.Errorf("of a shard that leaves %.2f, %.2f was used in requests of %.2f, %d were refused; %d without learning",
					left, used, share, refused, without)
			}
		}
	}
}

func TestTheRateRecovers(t *testing.T) {
	r := pace.New(0.1)
	b := bucket{rate: 0.2, level: 0.2, at: start}
	now, _, _ := drive(&r, &b, start, 20*time.Second, 0.01)
	low := r.Limit()
	if low < 0.1 || low > 0.3 {
		t.Fatalf("limit %v of a shard that takes 0.2", low)
	}
	b.rate = 100
	now, _, _ = drive(&r, &b, now, 10*time.Second, 0.01)
	if got := r.Limit(); got < 1.8*low || got > 2.2*low {
		t.Errorf("from %.2f to %.2f in 10 s at 0.1 a second", low, got)
	}
	_, _, refused := drive(&r, &b, now, 51*time.Second, 0.01)
	if r.Limit() != 0 || refused != 0 {
		t.Errorf("limit %v after a minute with %d refusals", r.Limit(), refused)
	}
}

func TestManyRefusalsAtOnceCountOnce(t *testing.T) {
	r := pace.New(0.1)
	now := start
	refused := func(n int) {
		for range n {
			now = now.Add(time.Millisecond)
			r.Throttled(now)
		}
	}
	r.Accepted(now, 0.2)
	refused(50)
	if got := r.Limit(); got != 0 {
		t.Fatalf("limit %v, learnt from nothing", got)
	}
	for range 10 {
		now = now.Add(100 * time.Millisecond)
		r.Accepted(now, 0.2)
	}
	refused(50)
	if got := r.Limit(); math.Abs(got-2.2) > 0.2 {
		t.Fatalf("limit %v after the first crowd, want what was taken", got)
	}
	now = now.Add(2 * time.Second)
	r.Accepted(now, 0.001)
	grown := r.Limit()
	refused(100)
	low := r.Limit()
	if math.Abs(low-0.7*grown) > 1e-9 {
		t.Errorf("from %v to %v after the second crowd", grown, low)
	}
	now = now.Add(time.Minute)
	refused(1000)
	if got := r.Limit(); got != low {
		t.Errorf("from %v to %v without anything taken in between", low, got)
	}
	for range 100 {
		now = now.Add(time.Second)
		r.Throttled(now)
		r.Accepted(now, 0.0001)
	}
	if got := r.Limit(); got > 0.2 {
		t.Errorf("limit %v after a hundred seconds of refusals", got)
	}
}

// TestAShardThatRefusesEverythingHalfTheTime takes what is offered all the same,
// if it can in the other half.
func TestAShardThatRefusesEverythingHalfTheTime(t *testing.T) {
	const offered, share = 2.4, 0.01
	for i, period := range []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond} {
		first := time.Duration(i % 2) // whether it begins by refusing
		r := pace.New(0.1)
		sent := 0.0
		const d = 30 * time.Second
		for now := start; now.Before(start.Add(d)); now = now.Add(time.Millisecond) {
			now = now.Add(r.Wait(now))
			due := now.Sub(start).Seconds() * offered
			switch {
			case sent+share > due: // nothing to send
			case now.Sub(start)/period%2 == first:
				r.Throttled(now)
				now = now.Add(20 * time.Millisecond)
			default:
				amount := min(due-sent, 0.25)
				sent += amount
				r.Accepted(now, amount)
			}
		}
		if got := sent / d.Seconds(); got < 0.9*offered {
			t.Errorf("%v on, %v off: %.2f a second of %.2f", period, period, got, offered)
		}
	}
}

func TestAnUnusedRateLimitIsDropped(t *testing.T) {
	r := pace.New(0.001)
	r.Accepted(start.Add(-time.Second), 0.01)
	r.Throttled(start)
	r.Accepted(start.Add(30*time.Second), 0.001)
	if r.Limit() == 0 {
		t.Error("forgotten after half a minute")
	}
	r.Accepted(start.Add(61*time.Second), 0.001)
	if r.Limit() != 0 {
		t.Errorf("limit %v after a minute without a refusal", r.Limit())
	}
}

func TestAZeroIncreaseSwitchesTheLimitOff(t *testing.T) {
	r := pace.New(0)
	r.Throttled(start)
	if r.Limit() != 0 || r.Wait(start) != 0 {
		t.Errorf("limit %v", r.Limit())
	}
}

func TestShareIsTheScarcerOfBoth(t *testing.T) {
	for _, c := range []struct {
		bytes, records int
		want           float64
	}{{1 << 20, 1, 1}, {0, 1000, 1}, {1 << 19, 100, 0.5}, {1 << 10, 500, 0.5}} {
		if got := pace.Share(c.bytes, c.records); got != c.want {
			t.Errorf("%d bytes, %d records: %v, want %v", c.bytes, c.records, got, c.want)
		}
	}
}
