package backfill

import (
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/side"
)

// TestCopyingWaitsWhileTheSourceIsBusy: by default, by the operator's limits, or not at all.
func TestCopyingWaitsWhileTheSourceIsBusy(t *testing.T) {
	for _, tc := range []struct {
		job   control.Job
		load  side.Load
		waits bool
	}{
		{control.Job{}, side.Load{Lag: 10 * time.Second}, false}, {control.Job{}, side.Load{Lag: 11 * time.Second}, true},
		{control.Job{MaxLag: time.Second}, side.Load{Lag: time.Second}, false}, {control.Job{MaxLag: time.Second}, side.Load{Lag: 2 * time.Second}, true},
		{control.Job{MaxLag: -1}, side.Load{Lag: time.Hour}, false},
		{control.Job{}, side.Load{Queue: 20}, false}, {control.Job{}, side.Load{Queue: 21}, true}, {control.Job{}, side.Load{Queue: -1}, false},
		{control.Job{MaxQueue: 2}, side.Load{Queue: 3}, true}, {control.Job{MaxQueue: -1}, side.Load{Queue: 1000}, false},
	} {
		c := &copier{Backfill: &Backfill{}, limit: rate.NewLimiter(rate.Inf, 1)}
		c.applySettings(&tc.job, tc.load)
		if c.isPaused() != tc.waits {
			t.Errorf("%+v, %+v: waits %t", tc.job, tc.load, !tc.waits)
		}
		if c.applySettings(&tc.job, side.Load{}); c.isPaused() {
			t.Error("it still waits")
		}
	}
}
