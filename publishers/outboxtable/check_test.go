package outboxtable_test

import (
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
)

func TestABrokenPromiseBecomesADeadLetter(t *testing.T) {
	w := newWorld(t)
	e, err := events.New(t.Context(), "/test", social.UserJoined{UserID: "bob", Name: "Bob"})
	if err != nil {
		t.Fatal(err)
	}
	e.PartitionKey = "k"
	w.write(e)
	w.write(event("k", 1)) // of a type that nobody declared
	kept := &letters{}
	r := w.relay(outboxtable.Config{DeadLetters: kept, Check: social.Registry().Check})
	rep, err := r.Sweep(t.Context(), 0)
	if err != nil || rep.Published != 1 || len(kept.all) != 1 || !strings.Contains(kept.all[0].Reason, `names "bob"`) {
		t.Errorf("Sweep = %+v, %v, dead letters %+v", rep, err, kept.all)
	}
	if err := r.Redrive(t.Context(), encode(t, e)); err == nil {
		t.Error("driven again, it would be on the stream")
	}
}
