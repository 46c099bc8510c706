package deploy_test

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"

	"github.com/banyan-fig/banyan/infra/deploy"
	cloudwatchsandbox "github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// faultyAlarms gives the world a CloudWatch that fails as told, and a client as
// patient as the command's.
func (w *world) faultyAlarms() (kind *atomic.Uint32) {
	w.t.Helper()
	kind = new(atomic.Uint32)
	server, err := cloudwatchsandbox.New(cloudwatchsandbox.Config{Fault: func(string, string) fault.Fault {
		return fault.Fault{Kind: fault.Kind(kind.Load()), Delay: time.Hour}
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	url := serve(w.t, server)
	w.metrics = cloudwatch.NewFromConfig(base(w.t), func(o *cloudwatch.Options) {
		o.BaseEndpoint = &url
		o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 8, 5*time.Second })
	})
	return kind
}

// TestUnreadableAlarmsRollBackInTime: however alarms fail, and however patient the client is, a
// deployment is back when Config.AlarmOutage is over, and says why.
func TestUnreadableAlarmsRollBackInTime(t *testing.T) {
	t.Parallel()
	const blind, late = 300 * time.Millisecond, 2 * time.Minute // that a busy machine may take longer
	for kind, why := range map[fault.Kind]string{
		fault.Throttle: "ThrottlingException", fault.Internal: "InternalFailure", fault.Denied: "AccessDenied",
		fault.TimeoutBefore: "DescribeAlarms", fault.Late: "DescribeAlarms",
	} {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil)
			faults := w.faultyAlarms()
			w.first(other(t, "one"))
			var out time.Time
			told := 0
			d := w.deployer(func(c *deploy.Config) {
				c.Interval, c.AlarmOutage = time.Hour, blind
				c.Progress = func(p deploy.Progress) {
					switch p.Did {
					case "watching":
						out = time.Now()
						faults.Store(uint32(kind))
					case "alarms unreadable":
						told++
					}
				}
			})
			_, err := d.Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
			took := time.Since(out)
			faults.Store(uint32(fault.None))
			if !errors.Is(err, deploy.ErrAlarmsUnreadable) || !strings.Contains(err.Error(), why) || took > blind+late || told != 1 {
				t.Errorf("after %v, told %d times: %v", took, told, err)
			}
			if s := w.at(); s.Version != "1" || !s.Stable() {
				t.Errorf("the alias is at %v", s)
			}
			// Nor does a deployment wait for long before it begins.
			faults.Store(uint32(kind))
			began := time.Now()
			_, err = d.Deploy(t.Context(), live, other(t, "three"), deploy.DefaultSteps)
			if took := time.Since(began); err == nil || took > blind+late || !strings.Contains(err.Error(), "was not moved") {
				t.Errorf("before it, after %v: %v", took, err)
			}
		})
	}
}

// TestShortAlarmOutagesAreTolerated: alarms that fail for less than Config.AlarmOutage, again and again,
// hold nothing up, and one that is raised meanwhile is seen.
func TestShortAlarmOutagesAreTolerated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	faults := w.faultyAlarms()
	w.first(other(t, "one"))
	out := 0
	d := w.deployer(func(c *deploy.Config) {
		c.AlarmOutage = 20 * time.Second
		c.Progress = func(p deploy.Progress) {
			switch p.Did {
			case "watching":
				faults.Store(uint32(fault.Internal))
			case "alarms unreadable":
				out++
				faults.Store(uint32(fault.None))
			}
		}
	})
	if r, err := d.Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps); err != nil || r.To.Version != "2" || out != 3 {
		t.Errorf("%+v, %v, out %d times", r, err, out)
	}
	d = w.deployer(func(c *deploy.Config) {
		c.AlarmOutage = 20 * time.Second
		c.Progress = func(p deploy.Progress) {
			switch p.Did {
			case "watching":
				if err := w.raise(alarm); err != nil {
					t.Error(err)
				}
				faults.Store(uint32(fault.Throttle))
			case "alarms unreadable":
				faults.Store(uint32(fault.None))
			}
		}
	})
	if _, err := d.Deploy(t.Context(), live, other(t, "three"), deploy.DefaultSteps); !errors.Is(err, deploy.ErrAlarm) || w.at().Version != "2" {
		t.Errorf("an alarm in the out: %v; %v", err, w.at())
	}
}
