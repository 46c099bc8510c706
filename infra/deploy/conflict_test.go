package deploy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/banyan-fig/banyan/infra/deploy"
)

// TestTwoAtOnce: whoever is overtaken is refused, and changes nothing after that.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		did  string // when the first is overtaken
		by   func(context.Context, *deploy.Deployer, deploy.Package) error
		want error // of the first
		at   string
	}{
		{"uploaded", deployAll, deploy.ErrConflict, "2"},
		{"published", deployAll, deploy.ErrConflict, "3"},
		{"moved", func(ctx context.Context, d *deploy.Deployer, p deploy.Package) error {
			if err := deployAll(ctx, d, p); !errors.Is(err, deploy.ErrInProgress) {
				return fmt.Errorf("the second was not refused: %w", err)
			}
			return nil
		}, nil, "2"},
		{"moved", func(ctx context.Context, d *deploy.Deployer, _ deploy.Package) error {
			_, err := d.Rollback(ctx, live, "")
			return err
		}, deploy.ErrConflict, "1"},
	} {
		w := newWorld(t, nil)
		w.first(other(t, "one"))
		var overtaken error
		var once sync.Once
		d := w.deployer(func(c *deploy.Config) {
			c.Progress = func(p deploy.Progress) {
				if p.Did == test.did {
					once.Do(func() { overtaken = test.by(context.WithoutCancel(t.Context()), w.deployer(nil), other(t, "second")) })
				}
			}
		})
		_, err := d.Deploy(t.Context(), live, other(t, "first"), deploy.DefaultSteps)
		if overtaken != nil {
			t.Errorf("at %q: the second: %v", test.did, overtaken)
		}
		if !errors.Is(err, test.want) {
			t.Errorf("at %q: the first: %v, want %v", test.did, err, test.want)
		}
		if s := w.at(); !s.Stable() || s.Version != test.at {
			t.Errorf("at %q: the alias is at %v, want version %s", test.did, s, test.at)
		}
	}
}

func deployAll(ctx context.Context, d *deploy.Deployer, p deploy.Package) error {
	_, err := d.Deploy(ctx, live, p, deploy.Steps{100})
	return err
}

// TestManyAtOnce: in the end the alias has what the last that succeeded brought.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	const n = 6
	results, errs := make([]deploy.Result, n), make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			results[i], errs[i] = w.deployer(nil).Deploy(t.Context(), live, other(t, fmt.Sprint("many ", i)), deploy.DefaultSteps)
		})
	}
	wg.Wait()
	codes := map[string]string{} // of versions whose deployment succeeded
	for i, err := range errs {
		switch {
		case err == nil:
			codes[results[i].Version] = results[i].Code
		case !errors.Is(err, deploy.ErrConflict) && !errors.Is(err, deploy.ErrInProgress):
			t.Errorf("the error is none that says so: %v", err)
		}
	}
	s := w.at()
	if !s.Stable() || s.Version != "1" && codes[s.Version] == "" {
		t.Fatalf("the alias is at %v, done was %v", s, codes)
	}
	if s.Version == "1" {
		t.Skip("all of them were in each other's way, which is allowed")
	}
	out, err := w.lambda.GetFunctionConfiguration(t.Context(),
		&lambda.GetFunctionConfigurationInput{FunctionName: aws.String(function), Qualifier: aws.String("live")})
	if err != nil || *out.CodeSha256 != codes[s.Version] {
		t.Errorf("the alias runs other code than was deployed: %v", err)
	}
}

// TestKilledAnywhere: a process that ends at any point leaves what the same
// command, or promote, brings to the same end.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"uploaded", "published", "moved 10", "moved 50", "moved 100"} {
		w := newWorld(t, nil)
		w.first(other(t, "one"))
		ctx, kill := context.WithCancel(t.Context())
		d := w.deployer(func(c *deploy.Config) {
			c.Interval = time.Minute
			c.Progress = func(p deploy.Progress) {
				if p.Did == point || fmt.Sprint(p.Did, " ", p.Percent) == point {
					kill()
				}
			}
		})
		steps := deploy.DefaultSteps
		if percent, found := strings.CutPrefix(point, "moved "); found {
			steps = map[string]deploy.Steps{"10": {10, 100}, "50": {50, 100}, "100": {100}}[percent]
		}
		_, err := d.Deploy(ctx, live, other(t, "two"), steps)
		kill()
		if !errors.Is(err, deploy.ErrInterrupted) {
			t.Fatalf("%s: it was not interrupted: %v", point, err)
		}
		if s := w.at(); !strings.Contains(err.Error(), s.String()) && !strings.Contains(err.Error(), "was not moved") {
			t.Errorf("%s: the alias is at %v, told was %v", point, s, err)
		}
		r, err := w.deployer(nil).Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
		if errors.Is(err, deploy.ErrInProgress) {
			if s := w.at(); s.Next != "2" || s.Version != "1" {
				t.Errorf("%s: left was %v", point, s)
			}
			r, err = w.deployer(nil).Promote(t.Context(), live, deploy.DefaultSteps)
		}
		if err != nil || r.To.Version != "2" || !w.at().Stable() {
			t.Errorf("%s: %+v, %v", point, r, err)
		}
		if _, err := w.deployer(nil).Promote(t.Context(), live, deploy.DefaultSteps); !errors.Is(err, deploy.ErrRefused) {
			t.Errorf("%s: there is nothing to promote: %v", point, err)
		}
	}
}

// TestInterruptedAndBack: where it was asked for, an interrupt moves back.
func TestInterruptedAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	d := w.deployer(func(c *deploy.Config) {
		c.Interval, c.RollbackOnInterrupt = time.Minute, true
		c.Progress = func(p deploy.Progress) {
			if p.Did == "watching" {
				interrupt()
			}
		}
	})
	r, err := d.Deploy(ctx, live, other(t, "two"), deploy.DefaultSteps)
	if !errors.Is(err, deploy.ErrInterrupted) || r.To.Version != "1" || !w.at().Stable() || w.at().Version != "1" {
		t.Errorf("%v; %v", err, w.at())
	}
}

// TestUnreadableAlarmsRollBack: alarms that cannot be read are none that are quiet.
func TestUnreadableAlarmsRollBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.first(other(t, "one"))
	var out atomic.Bool
	alarms := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Error(rw, "out of order", http.StatusServiceUnavailable)
	}))
	t.Cleanup(alarms.Close)
	broken := clients(t, alarms.URL, alarms.URL).metrics
	d := w.deployer(func(c *deploy.Config) {
		c.Interval, c.AlarmOutage = time.Minute, 50*time.Millisecond
		c.Alarms = either{out: &out, Alarms: w.metrics, broken: broken}
		c.Progress = func(p deploy.Progress) { out.Store(out.Load() || p.Did == "watching") }
	})
	_, err := d.Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
	if !errors.Is(err, deploy.ErrAlarmsUnreadable) || w.at().Version != "1" || !w.at().Stable() {
		t.Errorf("%v; %v", err, w.at())
	}
}

// either reads from a broken CloudWatch once it is out.
type either struct {
	deploy.Alarms
	out    *atomic.Bool
	broken deploy.Alarms
}

func (e either) DescribeAlarms(ctx context.Context, in *cloudwatch.DescribeAlarmsInput,
	opts ...func(*cloudwatch.Options)) (*cloudwatch.DescribeAlarmsOutput, error) {
	if e.out.Load() {
		return e.broken.DescribeAlarms(ctx, in, opts...)
	}
	return e.Alarms.DescribeAlarms(ctx, in, opts...)
}

// TestAnUnansweredMove: where AWS falls silent, with the alias moved or not, that is
// said; when it answers in time, the alias tells what became of the move.
func TestAnUnansweredMove(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		effect  bool
		silence int32 // calls that are not answered, the move included
		patient time.Duration
		want    error
		at      string
	}{
		"moved, and silence":         {true, 1 << 30, 300 * time.Millisecond, deploy.ErrUnknown, "version 1, with 10 % to version 2"},
		"not moved, and silence":     {false, 1 << 30, 300 * time.Millisecond, deploy.ErrUnknown, "version 1"},
		"moved, and an answer later": {true, 15, time.Minute, nil, "version 2 (before: 1)"},
	} {
		var left atomic.Int32
		w := newWorld(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if left.Load() <= 0 {
					next.ServeHTTP(rw, r)
					return
				}
				move := r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/aliases/")
				if move && test.effect {
					next.ServeHTTP(httptest.NewRecorder(), r)
				}
				left.Add(-1)
				panic(http.ErrAbortHandler)
			})
		})
		w.first(other(t, "one"))
		d := w.deployer(func(c *deploy.Config) {
			c.MoveTimeout = test.patient
			c.Progress = func(p deploy.Progress) {
				if p.Did == "published" {
					left.Store(test.silence)
				}
			}
		})
		_, err := d.Deploy(t.Context(), live, other(t, "two"), deploy.DefaultSteps)
		left.Store(0)
		if !errors.Is(err, test.want) || test.want != nil && !strings.Contains(err.Error(), "status") {
			t.Errorf("%s: %v", name, err)
		}
		if s := w.at(); s.String() != test.at {
			t.Errorf("%s: the alias is at %v", name, s)
		}
	}
}

// TestThrottledAndRepeated: with calls throttled, broken off, and done though
// nobody was told, a deployment comes to its end, or says why not and leaves an
// alias that the next one takes further.
func TestThrottledAndRepeated(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	f := &flaky{random: rand.New(rand.NewPCG(seed, 1))}
	w := newWorld(t, f.disturb)
	w.first(other(t, "one"))
	f.on.Store(true)
	for i := range 8 {
		text := fmt.Sprint("version ", i)
		r, err := w.deployer(nil).Deploy(t.Context(), live, other(t, text), deploy.DefaultSteps)
		if err != nil || !r.To.Stable() || r.To.Version != r.Version {
			t.Fatalf("%s: %+v, %v", text, r, err)
		}
		out, err := w.lambda.GetFunctionConfiguration(t.Context(),
			&lambda.GetFunctionConfigurationInput{FunctionName: aws.String(function), Qualifier: aws.String("live")})
		if err != nil || *out.CodeSha256 != r.Code {
			t.Fatalf("%s: the alias runs other code: %v", text, err)
		}
	}
	if f.hits.Load() == 0 {
		t.Error("nothing was disturbed")
	}
}

// flaky throttles one call in eight, breaks off one in sixteen before it has an
// effect, and one after.
type flaky struct {
	on   atomic.Bool
	hits atomic.Int64

	mu     sync.Mutex
	random *rand.Rand
}

func (f *flaky) disturb(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		n := f.random.IntN(16)
		f.mu.Unlock()
		if !f.on.Load() || n > 3 {
			next.ServeHTTP(w, r)
			return
		}
		f.hits.Add(1)
		switch n {
		case 0, 1:
			w.Header().Set("X-Amzn-Errortype", "TooManyRequestsException")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"Reason":"CallerRateLimitExceeded"}`))
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			next.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
	})
}
