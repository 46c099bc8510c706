package changestream_test

import (
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/events/social"
)

// TestABrokenPromiseBecomesADeadLetter: a mapping that names another partition key
// than the payload does, and a document that lacks what the type requires.
func TestABrokenPromiseBecomesADeadLetter(t *testing.T) {
	w := newWorld(t, 1)
	mapping := strings.Replace(usersMapping, "      subject: user/{_id}\n      correlation",
		"      key: \"{name}\"\n      subject: user/{_id}\n      correlation", 1)
	cfg := w.config(parse(t, mapping))
	cfg.Check = social.Registry().Check
	p, stop := w.publisher(cfg)
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(1), "name", "x")))
	w.do(w.users.InsertOne(w.ctx, doc("_id", id(2), "name", id(2).Hex())))
	waitFor(t, "the good one", func() bool { return p.Status().Published == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	letters := w.refused()
	if len(letters) != 1 || !strings.Contains(letters[0].Reason, `the envelope has "x"`) || letters[0].Event.IsZero() {
		t.Errorf("dead letters %+v", letters)
	}
}
