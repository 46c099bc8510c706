package migrate_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/linktest"
	"github.com/banyan-fig/banyan/migrate"
	"github.com/banyan-fig/banyan/migrate/cutover"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/verify"
)

// rounds are processes that follow, and verify meanwhile, with what they say.
type rounds struct {
	logs []*told
	stop []func() error
	// seen lets the first verification go on behind its first range.
	seen     func()
	compared atomic.Int64
}

// told is the log of one of them.
type told struct {
	mu  sync.Mutex
	log bytes.Buffer
}

// Write implements io.Writer.
func (l *told) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(b)
}

// who says a text: the processes whose logs have it.
func (r *rounds) who(text string) (found []int) {
	for i, l := range r.logs {
		l.mu.Lock()
		if strings.Contains(l.log.String(), text) {
			found = append(found, i)
		}
		l.mu.Unlock()
	}
	return found
}

func (w *world) startRounds(n, perSecond int) *rounds {
	shown := make(chan struct{})
	r := &rounds{seen: sync.OnceFunc(func() { close(shown) })}
	w.t.Cleanup(r.seen)
	for range n {
		log := &told{}
		r.logs = append(r.logs, log)
		l := &linktest.Link{Choose: func(c linktest.Command) linktest.Fate {
			if is(c, "compared") && r.compared.Add(1) == 2 {
				<-shown
			}
			return linktest.Deliver
		}}
		e := w.process(l, func(c *migrate.Config) { c.Log, c.Lease = slog.New(slog.NewTextHandler(log, nil)), 15*time.Second })
		r.stop = append(r.stop, background(w.ctx, func(ctx context.Context) error { return e.Run(ctx, migrate.RunOptions{VerifyRate: perSecond}) }))
	}
	return r
}

// awaitVerification waits for one of an epoch.
func (w *world) awaitVerification(epoch int64) (s migrate.Status) {
	w.t.Helper()
	waitFor(w.t, func() bool {
		var err error
		s, err = w.engine().Status(w.ctx)
		return err == nil && s.Verification != nil && s.Verification.Epoch == epoch
	})
	return s
}

// TestVerificationGoesOnByItself: while a migration is followed, one of its processes verifies,
// slowly, in the direction that is followed, and counts for the change of owner; another goes on
// where it ends. What it finds is shown, refuses the change, and ends nothing.
func TestVerificationGoesOnByItself(t *testing.T) {
	w := newWorld(t)
	w.seed(60)
	w.encapsulate()
	if err := w.engine().Run(w.ctx, migrate.RunOptions{UntilShadowing: true}); err != nil {
		t.Fatal(err)
	}
	for _, item := range w.scan("users")[:1] {
		item["name"] = &types.AttributeValueMemberS{Value: "by nobody"}
		w.put("users", item)
	}
	r := w.startRounds(2, 40)
	waitFor(t, func() bool {
		s, err := w.engine().Status(w.ctx)
		return err == nil && s.Verifying != nil && s.Verifying.Units > 0
	})
	r.seen()
	s := w.awaitVerification(1)
	if s.Verification.Mismatches != 1 || s.Verification.Documents != 60 || s.Verification.Items != 60 {
		t.Errorf("%+v", s.Verification)
	}
	if _, err := w.engine().Cutover(w.ctx, cutover.Options{NoMembers: true}); !errors.Is(err, cutover.ErrRefused) {
		t.Error(err)
	}
	verified := r.who("the stores differ")
	if len(verified) != 1 {
		t.Fatalf("which have verified: %v", verified)
	}
	first := verified[0]
	if err := r.stop[first](); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if v, err := w.engine().Verify(w.ctx, verify.Options{Repair: true}); err != nil || v.Repaired != 1 {
		t.Fatalf("%+v %v", v, err)
	}
	if sum, err := w.cutOver(); err != nil || sum.Step != cutover.StepDone {
		t.Fatalf("%+v %v", sum, err)
	}
	if s = w.awaitVerification(2); s.Verification.Mismatches != 0 || s.Verification.Documents != 60 {
		t.Errorf("%+v", s.Verification)
	}
	if sum, err := w.rollBack(); err != nil || sum.Step != cutover.StepDone || sum.Verified != s.Verification.ID {
		t.Errorf("%+v %v", sum, err)
	}
	w.mustBeOwned(ownership.MongoDB, 3, ownership.Shadowing)
	if err := r.stop[1-first](); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
