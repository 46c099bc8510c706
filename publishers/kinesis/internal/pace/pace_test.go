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
// for what r makes them wait, and returns the clock, what was taken and how
// often it was refused.
func drive(r *pace.Rate, b *bucket, now time.Time, d time.Duration, share float64) (end time.Time, taken float64, refused int) {
	const roundTrip = 10 * time.Millisecond
	for end = now.Add(d); now.Before(end); now = now.Add(roundTrip) {
		now = now.Add(r.Wait(now, share))
		if b.take(now, share) {
			taken += share
			r.Took(now, share)
		} else {
			refused++
			r.Refused(now)
		}
	}
	return now, taken, refused
}

var start = time.Unix(1_700_000_000, 0)

func TestNoLimitBeforeARefusal(t *testing.T) {
	r := pace.New(0.1)
	for i := range 100 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		if d := r.Wait(now, 1); d != 0 {
			t.Fatalf("request %d has to wait %v", i, d)
		}
		r.Took(now, 1)
	}
	if r.Limit() != 0 {
		t.Errorf("limit %v", r.Limit())
	}
}

// TestTheRateIsLearnt: against a shard of which others leave a part, most of
// that part is used, and few requests are refused.
func TestTheRateIsLearnt(t *testing.T) {
	for _, left := range []float64{1, 0.5, 0.2, 0.05} {
		r := pace.New(0.1)
		b := bucket{rate: left, level: left, at: start}
		now, _, _ := drive(&r, &b, start, 30*time.Second, 0.01)
		_, taken, refused := drive(&r, &b, now, 60*time.Second, 0.01)
		used := taken / (left * 60)
		if used < 0.7 || used > 1.01 {
			t.Errorf("of a shard that takes %.2f, %.2f was used", left, used)
		}
		if refused > 5*60 {
			t.Errorf("a shard that takes %.2f refused %d requests in a minute", left, refused)
		}
	}
}

func TestTheRateRecovers(t *testing.T) {
	r := pace.New(0.1)
	b := bucket{rate: 0.1, at: start}
	now, _, _ := drive(&r, &b, start, 20*time.Second, 0.01)
	low := r.Limit()
	if low == 0 || low > 0.4 {
		t.Fatalf("limit %v of a shard that takes 0.1", low)
	}
	b.rate = 1
	now, _, _ = drive(&r, &b, now, 5*time.Second, 0.01)
	if got, want := r.Limit(), low+0.5; math.Abs(got-want) > 0.05 {
		t.Errorf("from %.2f to %.2f in 5 s at 0.1 a second", low, got)
	}
	b.rate = 100
	_, _, refused := drive(&r, &b, now, 40*time.Second, 0.01)
	if r.Limit() != 0 || refused != 0 {
		t.Errorf("limit %v after 40 s with %d refusals", r.Limit(), refused)
	}
}

func TestACrowdOfRefusalsCountsOnce(t *testing.T) {
	r := pace.New(0.1)
	r.Took(start, 1)
	for i := range 200 {
		r.Refused(start.Add(time.Duration(i) * time.Millisecond))
	}
	if got := r.Limit(); got != 0.7 {
		t.Errorf("limit %v after one crowd, want 0.7 of what was taken", got)
	}
	for i := range 100 {
		r.Refused(start.Add(time.Duration(i) * time.Second))
	}
	if got := r.Limit(); got != 0.01 {
		t.Errorf("limit %v after a hundred seconds of refusals, want the least", got)
	}
}

func TestARateThatIsNotNeededIsForgotten(t *testing.T) {
	r := pace.New(0.001)
	r.Refused(start)
	r.Took(start.Add(30*time.Second), 0.001)
	if r.Limit() == 0 {
		t.Error("forgotten after half a minute")
	}
	r.Took(start.Add(61*time.Second), 0.001)
	if r.Limit() != 0 {
		t.Errorf("limit %v after a minute without a refusal", r.Limit())
	}
}

func TestItCanBeSwitchedOff(t *testing.T) {
	r := pace.New(0)
	r.Refused(start)
	if r.Limit() != 0 || r.Wait(start, 100) != 0 {
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
