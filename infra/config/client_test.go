package config_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/banyan-fig/banyan/infra/config"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// TestValues: each kind of value comes as it was written.
func TestValues(t *testing.T) {
	w := newWorld(t)
	w.put("/banyan/test/plain", "p", types.ParameterTypeString)
	w.put("/banyan/test/uri", hidden, types.ParameterTypeSecureString)
	w.put("/banyan/test/deep/er", "d", types.ParameterTypeStringList)
	w.create("banyan/test/text", hidden)
	w.create("banyan/test/json", `{"uri":"`+hidden+`","port":27017}`)
	c := w.client(config.Config{})
	for ref, want := range map[string]string{
		"ssm:/banyan/test/uri": hidden, "ssm:/banyan/test/plain": "p", "ssm:/banyan/test/uri:1": hidden,
		"ssm:arn:aws:ssm:us-east-1:000000000000:parameter/banyan/test/uri": hidden,
		"secret:banyan/test/text": hidden, "secret:banyan/test/json#uri": hidden, "secret:banyan/test/json#port": "27017",
	} {
		if got, err := c.Secret(t.Context(), reference(t, ref)); err != nil || got.Reveal() != want {
			t.Errorf("%s: %q, %v", ref, got.Reveal(), err)
		}
	}
}

// TestErrorsSayWhatToDo and show no value.
func TestErrorsSayWhatToDo(t *testing.T) {
	w := newWorld(t)
	w.create("banyan/json", `{"uri":"`+hidden+`"}`)
	w.create("banyan/text", hidden)
	w.create("banyan/gone", hidden)
	if _, err := w.secrets.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: aws.String("banyan/gone")}); err != nil {
		t.Fatal(err)
	}
	refuse := func(name string, decrypt bool) *awsjson.Error {
		switch {
		case strings.HasSuffix(name, "denied"):
			return awsjson.Errorf("AccessDeniedException", "User: arn:aws:sts::1:assumed-role/r is not authorized to perform: ssm:GetParameters")
		case strings.HasSuffix(name, "nokey"):
			return awsjson.Errorf("AccessDeniedException",
				"The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
		case strings.HasSuffix(name, "disabled"):
			return awsjson.Errorf("InvalidKeyId", "key is disabled")
		case strings.HasSuffix(name, "undecryptable"):
			return awsjson.Errorf("DecryptionFailure", "Secrets Manager can't decrypt the protected secret text using the provided KMS key.")
		}
		return nil
	}
	w.refuse.Store(&refuse)
	c := w.client(config.Config{Timeout: 2 * time.Second})
	for ref, want := range map[string]struct {
		kind error
		says string
	}{
		"ssm:/banyan/none":            {config.ErrNotFound, "create it, or correct the name"},
		"secret:banyan/none":          {config.ErrNotFound, "create it, or correct the name"},
		"secret:banyan/gone":          {config.ErrNotFound, "marked for deletion"},
		"secret:banyan/json#no":       {config.ErrNotFound, "has no member no"},
		"secret:banyan/text#uri":      {config.ErrNotFound, "must be a JSON object"},
		"ssm:/banyan/denied":          {config.ErrDenied, "allow ssm:GetParameters on it"},
		"secret:banyan/denied":        {config.ErrDenied, "allow secretsmanager:GetSecretValue on it"},
		"ssm:/banyan/nokey":           {config.ErrKey, "allow kms:Decrypt"},
		"ssm:/banyan/disabled":        {config.ErrKey, "check that the key is enabled"},
		"secret:banyan/undecryptable": {config.ErrKey, "allow kms:Decrypt"},
		"ssm:/banyan/a%b":             {config.ErrReference, "correct the name"},
	} {
		_, err := c.Secret(t.Context(), reference(t, ref))
		if !errors.Is(err, want.kind) || !strings.Contains(err.Error(), want.says) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: %v; want %v that says %q", ref, err, want.kind, want.says)
		}
	}
	broken := func(string) fault.Fault { return fault.Fault{Kind: fault.Internal} }
	w.fault.Store(&broken)
	for _, ref := range []string{"ssm:/banyan/other", "secret:banyan/other"} {
		if _, err := c.Secret(t.Context(), reference(t, ref)); !errors.Is(err, config.ErrUnavailable) ||
			!strings.Contains(err.Error(), "read again later; check the network") {
			t.Errorf("%s of a broken service: %v", ref, err)
		}
	}
}

// TestBatches: many parameters take a call for ten, and a mistake with one of them
// harms no other.
func TestBatches(t *testing.T) { inBubble(t, testBatches) }

func testBatches(t *testing.T, w *world) {
	refuse := func(name string, _ bool) *awsjson.Error {
		if name == "/banyan/n/7" {
			return awsjson.Errorf("AccessDeniedException", "not authorized to perform: ssm:GetParameters")
		}
		return nil
	}
	const n = 25
	for i := range n {
		w.put(fmt.Sprintf("/banyan/n/%d", i), fmt.Sprint(i), types.ParameterTypeString)
	}
	c := w.client(config.Config{TTL: time.Hour})
	get := func() (failed []int) {
		var people sync.WaitGroup
		var mu sync.Mutex
		for i := range n {
			people.Go(func() {
				got, err := c.Secret(t.Context(), reference(t, fmt.Sprintf("ssm:/banyan/n/%d", i)))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed = append(failed, i)
				} else if got.Reveal() != fmt.Sprint(i) {
					t.Errorf("%d: %q", i, got.Reveal())
				}
			})
		}
		people.Wait()
		return failed
	}
	w.slow.Store(int64(20 * time.Millisecond)) // so that they gather
	if failed := get(); failed != nil {
		t.Errorf("failed: %v", failed)
	}
	if calls := w.calls.Load(); calls < 3 || calls > 8 {
		t.Errorf("%d calls for %d parameters asked for at once", calls, n)
	}
	before := w.calls.Load()
	if get(); w.calls.Load() != before {
		t.Error("values at hand were read again")
	}
	w.slow.Store(0)
	w.refuse.Store(&refuse)
	c = w.client(config.Config{TTL: time.Hour})
	if failed := get(); len(failed) != 1 || failed[0] != 7 {
		t.Errorf("with one refused, these failed: %v", failed)
	}
}

// TestOneInFlight: whatever is asked for, a name is read by one call at a time.
func TestOneInFlight(t *testing.T) { inBubble(t, testOneInFlight) }

func testOneInFlight(t *testing.T, w *world) {
	w.create("s", "v")
	var now, most atomic.Int64
	w.slow.Store(int64(5 * time.Millisecond))
	inFlight := func(string) fault.Fault {
		most.Store(max(most.Load(), now.Add(1)))
		time.Sleep(5 * time.Millisecond)
		now.Add(-1)
		return fault.Fault{}
	}
	w.fault.Store(&inFlight)
	c := w.client(config.Config{TTL: 10 * time.Millisecond, Patience: time.Millisecond})
	var people sync.WaitGroup
	for range 16 {
		people.Go(func() {
			for range 20 {
				if _, err := c.Secret(t.Context(), reference(t, "secret:s")); err != nil {
					t.Error(err)
				}
				if _, err := c.Refresh(t.Context(), reference(t, "secret:s")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	people.Wait()
	if most.Load() != 1 {
		t.Errorf("%d readings at once", most.Load())
	}
	if calls := w.calls.Load(); calls > 60 {
		t.Errorf("%d calls for 20 rounds of refreshing", calls)
	}
}

// TestLastGoodValueStaysInForce: through a source that is dead, throttles, is slow, or has
// lost the value, Gets answer at once with the last good one, whose age shows; and
// the new value comes when the source is back.
func TestLastGoodValueStaysInForce(t *testing.T) {
	for name, trouble := range map[string]struct {
		begin, end func(w *world)
		kind       error
	}{
		"dead":      {func(w *world) { w.down.Store(true) }, func(w *world) { w.down.Store(false) }, config.ErrUnavailable},
		"slow":      {func(w *world) { w.slow.Store(int64(time.Second)) }, func(w *world) { w.slow.Store(0) }, config.ErrUnavailable},
		"throttled": {func(w *world) { w.fault.Store(&always) }, func(w *world) { w.fault.Store(nil) }, config.ErrThrottled},
		"deleted": {func(w *world) {
			if _, err := w.ssm.DeleteParameter(w.t.Context(), &ssm.DeleteParameterInput{Name: aws.String("/x")}); err != nil {
				w.t.Fatal(err)
			}
		}, func(*world) {}, config.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.put("/x", "old", types.ParameterTypeSecureString)
				log := &lines{}
				c := w.client(config.Config{
					TTL: 20 * time.Millisecond, Timeout: 50 * time.Millisecond, Patience: 20 * time.Millisecond, Log: slog.New(slog.NewJSONHandler(log, nil)),
				})
				ref := reference(t, "ssm:/x")
				if _, err := c.Secret(t.Context(), ref); err != nil {
					t.Fatal(err)
				}
				trouble.begin(w)
				eventually.True(t, "the trouble shows", func() bool { return errors.Is(c.Status()[0].Err, trouble.kind) })
				for range 20 {
					began := time.Now()
					got, err := c.Secret(t.Context(), ref)
					if took := time.Since(began); err != nil || got.Reveal() != "old" || took > 20*time.Millisecond {
						t.Fatalf("%q, %v after %s", got.Reveal(), err, took)
					}
					time.Sleep(2 * time.Millisecond)
				}
				if age := c.Status()[0].Age; age < 30*time.Millisecond || age > time.Minute {
					t.Errorf("the value is said to be %s old", age)
				}
				if figures := config.WithClient(c).Metrics(); figures[0].Value < 30 || figures[1].Value != 1 {
					t.Errorf("figures %+v", figures)
				}
				trouble.end(w)
				w.put("/x", "new", types.ParameterTypeSecureString)
				eventually.True(t, "the new value", func() bool {
					got, err := c.Secret(t.Context(), ref)
					return err == nil && got.Reveal() == "new"
				})
				figures := config.WithClient(c).Metrics()
				if figures[1].Name != "SettingFailures" || figures[1].Value != 0 || figures[0].Name != "SettingAge" {
					t.Errorf("figures %+v", figures)
				}
				eventually.True(t, "all is well", func() bool { return c.Status()[0].Err == nil })
				if text := log.String(); strings.Count(text, "cannot be read, and its last value stays") != 1 ||
					strings.Count(text, "can be read again") != 1 || !strings.Contains(text, "the parameter /x") || strings.Contains(text, `"old"`) {
					t.Errorf("logged %s", text)
				}
			})
		})
	}
}

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var always = func(string) fault.Fault { return fault.Fault{Kind: fault.Throttle} }

// TestBackOff: a source in trouble is asked less and less, up to the TTL.
func TestBackOff(t *testing.T) { inBubble(t, testBackOff) }

func testBackOff(t *testing.T, w *world) {
	w.put("/x", "v", types.ParameterTypeString)
	c := w.client(config.Config{TTL: 400 * time.Millisecond, Backoff: 20 * time.Millisecond, Random: func() float64 { return 0 }})
	w.fault.Store(&always)
	stop := time.Now().Add(time.Second)
	for time.Now().Before(stop) {
		if _, err := c.Secret(t.Context(), reference(t, "ssm:/x")); !errors.Is(err, config.ErrThrottled) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	// at 0, 20, 60, 140, 300, 620 ms
	if calls := w.calls.Load(); calls < 3 || calls > 8 {
		t.Errorf("%d calls in a second of throttling", calls)
	}
}

// TestBoundedStaleness: beyond MaxStale there is an error instead of the value.
func TestBoundedStaleness(t *testing.T) { inBubble(t, testBoundedStaleness) }

func testBoundedStaleness(t *testing.T, w *world) {
	w.create("s", "v")
	c := w.client(config.Config{TTL: 20 * time.Millisecond, MaxStale: 200 * time.Millisecond, Timeout: 50 * time.Millisecond})
	ref := reference(t, "secret:s")
	if _, err := c.Secret(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	w.down.Store(true)
	died := time.Now()
	for {
		_, err := c.Secret(t.Context(), ref)
		if age := time.Since(died); err == nil && age < 2*time.Second {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		if age := time.Since(died); !errors.Is(err, config.ErrStale) || !errors.Is(err, config.ErrUnavailable) || age < 100*time.Millisecond {
			t.Fatalf("after %s: %v", age, err)
		}
		break
	}
	w.down.Store(false)
	eventually.True(t, "the value is back", func() bool { _, err := c.Secret(t.Context(), ref); return err == nil })
}

// TestRotation under load and under random trouble: no Get fails, no value goes
// back to an older one, and the last one arrives, by the subscription too.
func TestRotation(t *testing.T) { inBubble(t, testRotation) }

func testRotation(t *testing.T, w *world) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	w.create("banyan/db", "v000")
	c := w.client(config.Config{TTL: 5 * time.Millisecond, Timeout: 100 * time.Millisecond, Backoff: 2 * time.Millisecond})
	ref := reference(t, "secret:banyan/db")
	if _, err := c.Secret(t.Context(), ref); err != nil {
		t.Fatal(err)
	}
	changed, end, err := c.Subscribe(ref)
	if err != nil {
		t.Fatal(err)
	}
	defer end()
	trouble := func(operation string) fault.Fault {
		mu.Lock()
		defer mu.Unlock()
		if operation != "GetSecretValue" {
			return fault.Fault{}
		}
		return fault.Fault{
			Kind:  []fault.Kind{fault.None, fault.None, fault.Throttle, fault.Internal, fault.TimeoutBefore, fault.TimeoutAfter}[rng.IntN(6)],
			Delay: 5 * time.Millisecond,
		}
	}
	w.fault.Store(&trouble)
	done := make(chan struct{})
	var people sync.WaitGroup
	for range 8 {
		people.Go(func() {
			for last := ""; ; {
				got, err := c.Secret(t.Context(), ref)
				if err != nil || got.Reveal() < last {
					t.Errorf("%q after %q: %v", got.Reveal(), last, err)
				}
				last = got.Reveal()
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		})
	}
	const rotations = 60
	for i := range rotations {
		w.rotate("banyan/db", fmt.Sprintf("v%03d", i+1))
		time.Sleep(5 * time.Millisecond)
	}
	last := fmt.Sprintf("v%03d", rotations)
	for got := ""; got != last; {
		select {
		case <-changed:
			s, err := c.Secret(t.Context(), ref)
			if err != nil {
				t.Fatal(err)
			}
			got = s.Reveal()
		case <-time.After(time.Minute):
			t.Fatalf("the subscription never told of %s", last)
		}
	}
	close(done)
	people.Wait()
}

// TestRefreshSeesWhatWasBefore: a Refresh does not return a reading that began
// before it was asked for.
func TestRefreshSeesWhatWasBefore(t *testing.T) {
	w := newWorld(t)
	w.create("s", "0")
	c := w.client(config.Config{TTL: time.Hour})
	for i := range 30 {
		go func() { _, _ = c.Refresh(t.Context(), reference(t, "secret:s")) }()
		w.rotate("s", fmt.Sprint(i))
		if got, err := c.Refresh(t.Context(), reference(t, "secret:s")); err != nil || got.Reveal() != fmt.Sprint(i) {
			t.Fatalf("%q, %v after %d was written", got.Reveal(), err, i)
		}
	}
}

// TestDeadlines: whoever has a deadline gets an answer by then.
func TestDeadlines(t *testing.T) { inBubble(t, testDeadlines) }

func testDeadlines(t *testing.T, w *world) {
	w.slow.Store(int64(500 * time.Millisecond))
	c := w.client(config.Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := c.Secret(ctx, reference(t, "ssm:/x")); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 50*time.Millisecond {
		t.Errorf("%v after %s", err, time.Since(began))
	}
	w.slow.Store(0)
}

func TestNamesAreBounded(t *testing.T) { inBubble(t, testNamesAreBounded) }

func testNamesAreBounded(t *testing.T, w *world) {
	c := w.client(config.Config{MaxNames: 3, TTL: 20 * time.Millisecond})
	for i := range 3 {
		if _, err := c.Secret(t.Context(), reference(t, fmt.Sprintf("ssm:/x/%d", i))); !errors.Is(err, config.ErrNotFound) {
			t.Fatal(err)
		}
	}
	if _, err := c.Secret(t.Context(), reference(t, "ssm:/x/3")); !errors.Is(err, config.ErrTooMany) {
		t.Errorf("the fourth of three: %v", err)
	}
	eventually.True(t, "names that nobody uses are forgotten", func() bool { return len(c.Status()) == 0 })
}

func TestClosed(t *testing.T) {
	w := newWorld(t)
	w.put("/x", "v", types.ParameterTypeString)
	c := w.client(config.Config{})
	if _, err := c.Secret(t.Context(), reference(t, "ssm:/x")); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if got, err := c.Secret(t.Context(), reference(t, "ssm:/x")); err != nil || got.Reveal() != "v" {
		t.Errorf("at hand: %q, %v", got, err)
	}
	if _, err := c.Secret(t.Context(), reference(t, "ssm:/y")); !errors.Is(err, config.ErrClosed) {
		t.Errorf("not at hand: %v", err)
	}
}

func TestConfig(t *testing.T) {
	w := newWorld(t)
	for _, cfg := range []config.Config{
		{},
		{Parameters: w.ssm},
		{Parameters: w.ssm, Secrets: w.secrets, TTL: -1},
		{Parameters: w.ssm, Secrets: w.secrets, MaxStale: time.Second},
	} {
		if _, err := config.New(cfg); err == nil {
			t.Errorf("took %+v", cfg)
		}
	}
}
