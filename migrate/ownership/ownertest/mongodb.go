package ownertest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongoerr"
	"github.com/banyan-fig/banyan/migrate/ownership"
)

func rulesOfMongoDB() []Rule {
	return []Rule{
		{Name: "A write goes to the collection that the grant names", check: writesByName},
		{Name: "A late write finds the collection or nothing", check: lateWrites},
		{Name: "A read finds the collection or is fenced", check: readsFollow},
		{Name: "Nothing found under a name that moved is fenced", check: nothingFound},
		{Name: "Fields that the service does not know are kept", check: fieldsKept},
	}
}

// writesByName: under its own name, and under the physical one.
func writesByName(s *stage) error {
	legacy, a, b := ownership.Grant{Owner: ownership.MongoDB, Epoch: 1}, s.cfg.ID(1), s.cfg.ID(2)
	if err := s.owner.Create(s.ctx, legacy, a, "one"); err != nil {
		return fmt.Errorf("create under the service's own name: %w", err)
	}
	if n := len(s.documents(s.public())); n != 1 {
		return fmt.Errorf("a create with a grant without a name made %d documents in %s, want 1", n, s.public())
	}
	g := s.encapsulate()
	err := errors.Join(s.owner.Create(s.ctx, g, b, "two"), s.owner.Update(s.ctx, g, a, "changed"))
	if err != nil {
		return fmt.Errorf("create and update in %s: %w", g.Collection, err)
	}
	if n := len(s.documents(g.Collection)); n != 2 {
		return fmt.Errorf("%s has %d documents after two creates, want 2", g.Collection, n)
	}
	return errors.Join(s.expectValue(g, a, "changed"), s.expectValue(g, b, "two"), s.deleteAndMiss(g, b))
}

func (s *stage) expectValue(g ownership.Grant, id, want string) error {
	value, found, err := s.owner.Get(s.ctx, g, id)
	if err != nil || !found || value != want {
		return fmt.Errorf("get %s = %q, %v, %v, want %q", id, value, found, err, want)
	}
	return nil
}

func (s *stage) expectAbsent(g ownership.Grant, id string) error {
	if value, found, err := s.owner.Get(s.ctx, g, id); err != nil || found {
		return fmt.Errorf("get %s, which does not exist = %q, %v, %v", id, value, found, err)
	}
	return nil
}

// deleteAndMiss deletes, if the service can.
func (s *stage) deleteAndMiss(g ownership.Grant, id string) error {
	d, ok := s.owner.(Deleter)
	if !ok {
		return nil
	}
	if err := d.Delete(s.ctx, g, id); err != nil {
		return fmt.Errorf("delete %s: %w", id, err)
	}
	return s.expectAbsent(g, id)
}

// becomes is what may become of a granted name while a command is on its way. Servers
// that take no collectionUUID cannot refuse a late write to some, and a read to fewer.
var becomes = []struct {
	what                    string
	writesNeedUUID, readsDo bool
	make                    func(s *stage, name, next string)
}{
	{"is vacant", true, false, func(s *stage, name, next string) { s.rename(name, next) }},
	{"is a view", false, false, func(s *stage, name, next string) { s.rename(name, next); s.view(name, next) }},
	{"is a stray", true, false, func(s *stage, name, next string) { s.rename(name, next); s.stray(name) }},
	{"was replaced", true, true, func(s *stage, name, next string) {
		s.rename(name, next)
		docs := s.documents(next)
		for _, doc := range docs { // the same documents in another collection
			_, err := s.db.Collection(name).InsertOne(s.ctx, doc)
			s.do(err)
		}
	}},
}

// lateWrites are made under a grant whose name means something else when they arrive.
func lateWrites(s *stage) error {
	var problems []error
	takes := s.takesUUID()
	for _, b := range becomes {
		if b.writesNeedUUID && !takes {
			continue
		}
		s, g, err := s.moved()
		if err != nil {
			return err
		}
		b.make(s, g.Collection, s.physical(2))
		before := s.content()
		for what, err := range s.writes(s.owner, g) {
			problems = append(problems, expectFenced(fmt.Sprintf("%s where %s %s", what, g.Collection, b.what), err))
		}
		if !sameContent(before, s.content()) {
			problems = append(problems, fmt.Errorf("writes where %s %s have changed something: %v, before %v", g.Collection, b.what, s.content(), before))
		}
	}
	return errors.Join(problems...)
}

// takesUUID reports whether the server refuses a command whose collectionUUID is another.
func (s *stage) takesUUID() bool {
	s.t.Helper()
	nothing := uuid.New()
	err := s.db.RunCommand(s.ctx, bson.D{
		{Key: "find", Value: s.public()}, {Key: "collectionUUID", Value: bson.Binary{Subtype: bson.TypeBinaryUUID, Data: nothing[:]}},
	}).Err()
	return mongoerr.HasCode(err, mongoerr.CollectionUUIDMismatch)
}

// moved is a stage of its own with one entity in an encapsulated collection.
func (s *stage) moved() (*stage, ownership.Grant, error) {
	s.t.Helper()
	cfg := s.cfg
	own := &stage{ctx: s.ctx, t: s.t, cfg: cfg, tables: s.tables}
	own.db = own.connect(cfg.MongoDB)
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), ruleTimeout)
		defer cancel()
		_ = own.db.Drop(ctx)
	})
	s.do(own.db.CreateCollection(s.ctx, own.public()))
	own.owner = own.open(own.db)
	g := own.encapsulate()
	if err := own.owner.Create(s.ctx, g, cfg.ID(1), "one"); err != nil {
		return nil, g, fmt.Errorf("create in %s: %w", g.Collection, err)
	}
	return own, g, nil
}

// writes makes each kind of write, and returns what became of them.
func (s *stage) writes(owner Owner, g ownership.Grant) map[string]error {
	results := map[string]error{
		"a create":  owner.Create(s.ctx, g, s.cfg.ID(3), "late"),
		"an update": owner.Update(s.ctx, g, s.cfg.ID(1), "late"),
	}
	if d, ok := owner.(Deleter); ok {
		results["a delete"] = d.Delete(s.ctx, g, s.cfg.ID(1))
	}
	return results
}

// readsFollow: a read that is admitted under the old name answers what is so.
func readsFollow(s *stage) error {
	var problems []error
	takes := s.takesUUID()
	for _, b := range becomes {
		if b.readsDo && !takes {
			continue
		}
		s, g, err := s.moved()
		if err != nil {
			return err
		}
		b.make(s, g.Collection, s.physical(2))
		s.do(changeTo(s, s.physical(2)))
		value, found, err := s.owner.Get(s.ctx, g, s.cfg.ID(1))
		if errors.Is(err, ownership.ErrFenced) {
			continue
		}
		if err != nil || !found {
			problems = append(problems, fmt.Errorf("get where %s %s = %q, %v, %v, want what is in %s, or ErrFenced",
				g.Collection, b.what, value, found, err, s.physical(2)))
		}
		if b.what == "was replaced" && !bytesContain(s.documents(s.physical(2)), value) {
			problems = append(problems, fmt.Errorf("get where %s %s = %q, which is in another collection", g.Collection, b.what, value))
		}
	}
	return errors.Join(problems...)
}

// changeTo changes every text of the value that was created, behind the service's back.
func changeTo(s *stage, collection string) error {
	for _, doc := range s.documents(collection) {
		elements, err := doc.Elements()
		if err != nil {
			return err
		}
		for _, e := range elements {
			if text, ok := e.Value().StringValueOK(); ok && text == "one" {
				_, err = s.db.Collection(collection).UpdateOne(s.ctx, bson.D{{Key: "_id", Value: doc.Lookup("_id")}},
					bson.D{{Key: "$set", Value: bson.D{{Key: e.Key(), Value: "moved"}}}})
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func bytesContain(docs []bson.Raw, value string) bool {
	for _, doc := range docs {
		if strings.Contains(string(doc), value) {
			return true
		}
	}
	return false
}

// nothingFound is looked at with a server that takes no collectionUUID.
func nothingFound(s *stage) error {
	var problems []error
	for _, b := range becomes[:2] {
		s, g, err := s.moved()
		if err != nil {
			return err
		}
		old := s.open(s.connect(StartProxy(s.t, s.address(), OlderThan6)))
		if err := old.Update(s.ctx, g, s.cfg.ID(1), "two"); err != nil {
			return fmt.Errorf("update on a server that takes no collectionUUID: %w", err)
		}
		if err := old.Update(s.ctx, g, s.cfg.ID(4), "two"); err == nil || errors.Is(err, ownership.ErrFenced) {
			return fmt.Errorf("update of what does not exist = %v, want an error, but not ErrFenced", err)
		}
		b.make(s, g.Collection, s.physical(2))
		what := fmt.Sprintf("an update where %s %s", g.Collection, b.what)
		problems = append(problems, expectFenced(what, old.Update(s.ctx, g, s.cfg.ID(1), "late")))
		if _, found, err := old.Get(s.ctx, g, s.cfg.ID(1)); !found && !errors.Is(err, ownership.ErrFenced) {
			problems = append(problems, fmt.Errorf("get where %s %s: not found, %v, want it found or ErrFenced", g.Collection, b.what, err))
		}
	}
	return errors.Join(problems...)
}

// address is the host and port of the server.
func (s *stage) address() string {
	o := options.Client().ApplyURI(s.cfg.MongoDB)
	s.do(o.Validate())
	return o.Hosts[0]
}

// fieldsKept: an update must not replace the document by what the service knows.
func fieldsKept(s *stage) error {
	g := s.encapsulate()
	if err := s.owner.Create(s.ctx, g, s.cfg.ID(1), "one"); err != nil {
		return err
	}
	unknown := bson.D{{Key: "$set", Value: bson.D{{Key: "addedByOthers", Value: int32(7)}}}}
	_, err := s.db.Collection(g.Collection).UpdateOne(s.ctx, bson.D{}, unknown)
	s.do(err)
	if err := s.owner.Update(s.ctx, g, s.cfg.ID(1), "two"); err != nil {
		return err
	}
	if n, _ := s.documents(g.Collection)[0].Lookup("addedByOthers").Int32OK(); n != 7 {
		return fmt.Errorf("after an update the document is %s: a field that the service does not know is lost", s.documents(g.Collection)[0])
	}
	return nil
}
