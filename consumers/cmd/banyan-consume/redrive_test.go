package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/infra/eventually"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/serving"
)

const redriveOrders = "deadletters redrive orders --function=prod-{consumer} --rate=1000 "

// TestRedrive: each letter once, whatever its size and stream, and those that failed again.
func TestRedrive(t *testing.T) {
	w := newWorld(t)
	w.deploy("orders", consumers.KeepDeadLetter)
	w.setBroken("bob")
	w.fail("orders", 1, "ada", nil)
	w.fail("orders", 2, "bob", nil)
	w.fail("orders", 2, "eve", func(d *consumers.DeadLetter) { d.Stream = "arn:aws:kinesis:us-east-1:000000000000:stream/other" })
	w.fail("orders", 4, "old", func(d *consumers.DeadLetter) { d.Stream = "" })
	large := w.fail("orders", 3, "zoe", func(d *consumers.DeadLetter) {
		d.Raw = streamtest.Data(t, streamtest.Event(t, placed{"zoe", strings.Repeat("x", 900<<10)}))
	})

	check(t, redriveOrders+"--dry-run", 0, "5 would be redriven", "would redrive "+large.Position.String(), "through prod-orders")
	w.wantHandled("")
	check(t, redriveOrders+"--limit=1", 0, "1 redriven, 0 failed")
	check(t, redriveOrders+"--contains=nowhere", 0, "0 redriven, 0 failed")
	w.wantHandled("ada:1")
	var report redriving
	out := check(t, redriveOrders+"--json", exitFailed, "the mailbox is full")
	err := json.Unmarshal([]byte(out), &report)
	if err != nil || report.Redriven != 3 || report.Failed != 1 || len(report.Errors) != 1 || report.Errors[0].Stream == "" {
		t.Errorf("%s, %v", out, err)
	}
	w.wantHandled("ada:1 eve:1 old:1 zoe:1")
	w.setBroken()
	check(t, redriveOrders, 0, "1 redriven, 0 failed")
	check(t, redriveOrders, 0, "0 redriven, 0 failed")
	w.wantHandled("ada:1 bob:1 eve:1 old:1 zoe:1")

	check(t, redriveOrders+large.Position.String(), 0, "1 redriven") // was before: it is not handled again
	w.wantHandled("ada:1 bob:1 eve:1 old:1 zoe:1")
}

// TestRedriveIsMistaken: nothing is taken for success.
func TestRedriveIsMistaken(t *testing.T) {
	w := newWorld(t)
	w.deploy("orders", consumers.KeepDeadLetter)
	w.deploy("mails", consumers.KeepDeadLetter)
	at := w.fail("orders", 1, "ada", nil).Position.String()
	check(t, "deadletters redrive order --function=prod-orders", exitUnknown, "no dead letters of a consumer \"order\", but those of orders (1)")
	check(t, "deadletters redrive order --function=prod-orders "+at, exitUnknown, "those of orders (1)")
	check(t, "deadletters redrive orders", serving.ExitFailure, `function "orders" does not exist`, "--function")
	check(t, "deadletters redrive orders --function=prod-mails", exitFailed, "no such dead letter")
	check(t, strings.Replace(redriveOrders, "--rate=1000", "--rate=0", 1), serving.ExitUsage, "--rate must be more than 0")
	check(t, redriveOrders+at+" --type=x", serving.ExitUsage, "not by both")
	check(t, redriveOrders+"--queue=http://x", serving.ExitUsage, "either a consumer or a --queue")
	check(t, "deadletters list", serving.ExitUsage, "either a consumer or a --queue")
	w.wantHandled("")
}

// TestRedriveInterrupted: a signal ends it behind the letter in hand, and the next run goes on.
func TestRedriveInterrupted(t *testing.T) {
	w := newWorld(t)
	w.deploy("orders", consumers.KeepDeadLetter)
	want := []string{}
	for n := range 9 {
		key := fmt.Sprint("k", n)
		w.fail("orders", n+1, key, nil)
		want = append(want, key+":1")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out strings.Builder
	code := newCommand().Execute(ctx, strings.Fields(redriveOrders), &out, atFirstWrite{io.Discard, cancel})
	if code != exitStopped || !strings.Contains(out.String(), "stopped: run it again") {
		t.Errorf("exit code %d: %s", code, out.String())
	}
	if left := w.waiting("orders"); left != 8 {
		t.Errorf("%d letters are left, want 8", left)
	}
	check(t, redriveOrders, 0, "8 redriven, 0 failed")
	w.wantHandled(strings.Join(want, " "))
}

// atFirstWrite calls do when something is written, which is the progress of the first letter.
type atFirstWrite struct {
	io.Writer
	do func()
}

func (a atFirstWrite) Write(p []byte) (int, error) {
	a.do()
	return a.Writer.Write(p)
}

// TestRedriveInTrouble: throttled, killed and lost invocations end with every letter redriven.
func TestRedriveInTrouble(t *testing.T) {
	w := newWorld(t)
	w.deploy("orders", consumers.KeepDeadLetter)
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 1))
	kinds := []fault.Kind{fault.Throttle, fault.Throttle, fault.TimeoutAfter, fault.Partial}
	throttles := 6 // more than the client of the SDK tries
	w.fault = func() fault.Fault {
		if throttles--; throttles >= 0 {
			return fault.Fault{Kind: fault.Throttle}
		}
		if r.IntN(3) > 0 {
			return fault.Fault{}
		}
		return fault.Fault{Kind: kinds[r.IntN(len(kinds))]}
	}
	for n := range 20 {
		w.fail("orders", n+1, fmt.Sprint("k", n), nil)
	}
	eventually.True(t, fmt.Sprintf("all are redriven (seed %d)", seed), func() bool {
		code, _, stderr := run(t, strings.Fields(redriveOrders)...)
		gaveUp := code == serving.ExitFailure && strings.Contains(stderr, "injected") // four answers on end were lost
		if code != 0 && code != exitFailed && !gaveUp {
			t.Fatalf("exit code %d: %s (seed %d)", code, stderr, seed)
		}
		return w.waiting("orders") == 0
	})
	if n := len(w.handled()); n != 20 {
		t.Errorf("%d events were handled, want 20 (seed %d)", n, seed)
	}
}

func TestDiscard(t *testing.T) {
	l := newLetters(t)
	var at []string
	for n := 1; n <= 6; n++ {
		d := l.put("orders", n, func(d *consumers.DeadLetter) {
			if n == 4 {
				d.EventType, d.Raw = "order.moved", []byte(strings.Repeat("x", 1<<20))
			}
		})
		at = append(at, d.Position.String())
	}
	check(t, "deadletters discard orders", serving.ExitUsage, "--all")
	check(t, "deadletters discard order --all --reason=x", exitUnknown, "those of orders (6)")
	check(t, "deadletters discard orders --all --dry-run", 0, "6 letters would be deleted", "would delete "+at[5])
	check(t, "deadletters discard orders --reason=obsolete --by=ada "+at[0], 0, "1 letter deleted",
		`"msg":"a dead letter was discarded"`, `"position":"`+at[0]+`"`, `"by":"ada"`, `"reason":"obsolete"`)
	check(t, "deadletters discard orders --reason=x "+at[0], serving.ExitFailure, "no such dead letter")
	answer(t, "no\n")
	check(t, "deadletters discard orders --type=order.moved", serving.ExitUsage, "Delete 1 dead letter of orders for good?", "nothing was deleted")
	answer(t, "")
	check(t, "deadletters discard orders --all", serving.ExitUsage, "nothing was deleted")
	answer(t, "yes\n")
	check(t, "deadletters discard orders --type=order.moved", 0, "1 letter deleted", "confirmed at the prompt")
	check(t, "deadletters discard orders --all --limit=3 --reason=x", 0, "3 letters deleted")
	check(t, "deadletters list orders", 0, at[5])
	check(t, "deadletters discard orders --all --reason=x", 0, "1 letter deleted")
	check(t, "deadletters stats", 0, "no dead letters")
}

// answer makes text the standard input.
func answer(t *testing.T, text string) {
	t.Helper()
	r, w, err := os.Pipe()
	if err == nil {
		_, err = w.WriteString(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	before := os.Stdin
	os.Stdin = r
	t.Cleanup(func() { os.Stdin = before; _ = r.Close() })
}
