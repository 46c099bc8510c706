package migrate_test

import (
	"cmp"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/fence"
)

// ledger is what MongoDB has acknowledged: the name of each user, "" for one who was
// deleted. It is safe for concurrent use.
type ledger struct {
	mu    sync.Mutex
	era   int
	names map[bson.ObjectID]string
}

// begun is the era in which a write begins.
func (l *ledger) begun() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.era
}

// acknowledged notes a write that began in an era. What began before the last void may or
// may not have been replaced with the rest.
func (l *ledger) acknowledged(era int, id bson.ObjectID, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if era == l.era {
		l.names[id] = name
	}
}

// unknown notes that a write may or may not have had effect.
func (l *ledger) unknown(id bson.ObjectID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.names, id)
}

// void forgets everything: somebody replaced the collection.
func (l *ledger) void() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.era, l.names = l.era+1, map[bson.ObjectID]string{}
}

// mustHaveKept compares what was acknowledged with what the owner has.
func (s *amongStrangers) mustHaveKept() {
	s.t.Helper()
	if _, err := s.engine().Strays(s.ctx, func(d fence.StrayDocument) error {
		s.shown[d.Stray.Lookup("_id").ObjectID()] = true
		return nil
	}); err != nil {
		s.t.Error(err)
	}
	there := map[string]string{}
	for _, item := range s.scan("users") {
		if isTombstone(item) {
			continue
		}
		doc, err := s.plan.Codec().Decode(item)
		if err != nil {
			s.t.Fatal(err)
		}
		there[doc.Lookup("_id").ObjectID().Hex()] = doc.Lookup("name").StringValue()
	}
	for id, want := range s.members.names {
		if got := there[id.Hex()]; got != want {
			s.t.Errorf("user %s is %s at the owner, and MongoDB acknowledged %s", id, cmp.Or(got, "absent"), cmp.Or(want, "that it is deleted"))
		}
	}
	for id := range s.others.names {
		if there[id.Hex()] == "" && !s.shown[id] && !s.found[id] {
			s.t.Errorf("an acknowledged write of others is lost: %s", id)
		}
	}
	if n := len(s.members.names); n < 20 {
		s.t.Errorf("only %d writes of members were acknowledged", n)
	}
}
