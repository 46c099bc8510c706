package ownertest

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
	"github.com/banyan-fig/banyan/migrate/target"
)

func rulesOfDynamoDB() []Rule {
	return []Rule{
		{Name: "Every item that the owner writes carries its epoch", check: epochOnItems},
		{Name: "A write under an older epoch is refused by the store", check: olderEpoch},
		{Name: "A late change overwrites nothing of the owner's", check: lateChange},
		{Name: "A late copy brings back nothing that the owner deleted", check: lateCopy, deletes: true},
		{Name: "A tombstone reads as absent, and gives way to a create", check: tombstones},
		{Name: "Attributes that the service does not know are kept", check: attributesKept},
		{Name: "A unique value belongs to one entity, with an entry of its own", check: uniqueValues},
		{Name: "An entity has one item, and the entry of its `_id` says which", check: oneItem},
	}
}

// Cluster times in their order: of the copy, of a change, of later changes.
const (
	copied  stamp.ClusterTime = 100 << 32
	changed stamp.ClusterTime = 200 << 32
	later   stamp.ClusterTime = 300 << 32
)

func under(epoch int64) ownership.Grant {
	return ownership.Grant{Owner: ownership.DynamoDB, Epoch: epoch}
}

// document has the service make a document in MongoDB, and takes it from there.
func (s *stage) document(n int) bson.Raw {
	s.t.Helper()
	legacy := ownership.Grant{Owner: ownership.MongoDB, Epoch: 1}
	s.do(s.owner.Create(s.ctx, legacy, s.cfg.ID(n), "one"))
	docs := s.documents(s.public())
	_, err := s.db.Collection(s.public()).DeleteMany(s.ctx, bson.D{})
	s.do(err)
	return docs[0]
}

// batch is what a copy that read the documents is about to write.
func (s *stage) batch(docs ...bson.Raw) side.Batch {
	s.t.Helper()
	all, _, err := s.tables.Batches(docs, copied)
	s.do(err)
	return all[0]
}

// migrated is an entity that was copied to DynamoDB, and its document.
func (s *stage) migrated(n int) (bson.Raw, target.Entry) {
	s.t.Helper()
	doc := s.document(n)
	s.do(s.batch(doc).Fill(s.ctx, false))
	return doc, s.entry(doc)
}

func (s *stage) entry(doc bson.Raw) target.Entry {
	s.t.Helper()
	e, err := s.tables.Encode(doc, changed)
	s.do(err)
	return e
}

func keysOf(e target.Entry) []types.AttributeValue { return []types.AttributeValue{e.Key} }

func (s *stage) deleteTable(ctx context.Context, name string) error {
	_, err := s.cfg.DynamoDB.DeleteTable(ctx, &awsdynamodb.DeleteTableInput{TableName: &name})
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return nil
	}
	return err
}

// epochOnItems: on what it makes, on what it changes of the migration's, on unique entries.
func epochOnItems(s *stage) error {
	created := s.entry(s.document(1))
	if err := s.owner.Create(s.ctx, under(2), s.cfg.ID(1), "one"); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	_, updated := s.migrated(2)
	if err := s.owner.Update(s.ctx, under(3), s.cfg.ID(2), "two"); err != nil {
		return fmt.Errorf("update of what the migration wrote: %w", err)
	}
	var problems []error
	for what, c := range map[string]struct {
		item codec.Item
		want int64
	}{"created": {s.itemOf(created), 2}, "updated": {s.itemOf(updated), 3}} {
		if st := stamp.Of(c.item); !st.HasEpoch || st.Epoch != c.want {
			problems = append(problems, fmt.Errorf("the item that was %s under epoch %d has %+v in %s", what, c.want, st, stamp.Attribute))
		}
	}
	for i, entry := range s.uniqueOf(created) {
		if st := stamp.Of(entry); entry == nil || !st.HasEpoch || st.Epoch != 2 {
			problems = append(problems, fmt.Errorf("after a create under epoch 2 the entry of %q in %s is %v", created.Unique[i], s.cfg.Plan.Unique[i].Table, entry))
		}
	}
	return errors.Join(problems...)
}

// uniqueOf reads the unique entries of a document, one for each value that it has.
func (s *stage) uniqueOf(e target.Entry) map[int]codec.Item {
	s.t.Helper()
	values := make([][]string, len(e.Unique))
	for i, v := range e.Unique {
		if v != "" {
			values[i] = []string{v}
		}
	}
	_, entries, err := s.tables.Get(s.ctx, nil, values)
	s.do(err)
	found := map[int]codec.Item{}
	for i, v := range e.Unique {
		if v != "" {
			found[i] = entries[i][v]
		}
	}
	return found
}

// olderEpoch: neither an item that is newer when the zombie reads it, nor one that becomes
// so between its read and its write, is changed.
func olderEpoch(s *stage) error {
	_, e := s.migrated(1)
	if err := s.owner.Update(s.ctx, under(3), s.cfg.ID(1), "newer"); err != nil {
		return err
	}
	problems := []error{
		expectFenced("an update under epoch 2 of an item of epoch 3", s.owner.Update(s.ctx, under(2), s.cfg.ID(1), "late")),
		expectFenced("a create under epoch 2 of an item of epoch 3", s.owner.Create(s.ctx, under(2), s.cfg.ID(1), "late")),
		s.expectValue(under(3), s.cfg.ID(1), "newer"),
	}
	zombies := map[string]func(id string) error{
		"an update": func(id string) error { return s.owner.Update(s.ctx, under(2), id, "late") },
	}
	if d, ok := s.owner.(Deleter); ok {
		problems = append(problems, expectFenced("a delete under epoch 2 of an item of epoch 3", d.Delete(s.ctx, under(2), s.cfg.ID(1))))
		zombies["a delete"] = func(id string) error { return d.Delete(s.ctx, under(2), id) }
	}
	problems = append(problems, s.writesAfterTheWayBack(2)...)
	n := 4
	for what, zombie := range zombies {
		s.migrated(n)
		id := s.cfg.ID(n)
		n++
		s.beforeWrite = func() { s.do(s.owner.Update(s.ctx, under(3), id, "newer")) }
		problems = append(problems,
			expectFenced(what+" under epoch 2 that was overtaken by one of epoch 3", zombie(id)), s.expectValue(under(3), id, "newer"))
	}
	if st := stamp.Of(s.itemOf(e)); st.Epoch != 3 {
		problems = append(problems, fmt.Errorf("the item has epoch %d after writes under an older one, want 3", st.Epoch))
	}
	return errors.Join(problems...)
}

// writesAfterTheWayBack: what the migration has written since MongoDB is the owner again is
// of a newer epoch, too.
func (s *stage) writesAfterTheWayBack(n int) []error {
	s.t.Helper()
	doc, _ := s.migrated(n)
	s.do(s.owner.Update(s.ctx, under(2), s.cfg.ID(n), "two"))
	back := s.tables.InEpoch(3)
	s.do(back.Apply(s.ctx, side.Version{ID: doc.Lookup("_id"), Doc: doc, At: later}))
	problems := []error{
		expectFenced("an update under epoch 2 of what was copied in epoch 3", s.owner.Update(s.ctx, under(2), s.cfg.ID(n), "late")),
		expectFenced("a create under epoch 2 of what was copied in epoch 3", s.owner.Create(s.ctx, under(2), s.cfg.ID(n), "late")),
		s.expectValue(under(4), s.cfg.ID(n), "one"),
	}
	gone, _ := s.migrated(n + 1)
	s.do(back.Apply(s.ctx, side.Version{ID: gone.Lookup("_id"), At: later}))
	return append(problems,
		expectFenced("a create under epoch 2 of what was deleted in epoch 3", s.owner.Create(s.ctx, under(2), s.cfg.ID(n+1), "late")),
		s.expectAbsent(under(4), s.cfg.ID(n+1)))
}

// lateChange: a follower applies what it read before the switch.
func lateChange(s *stage) error {
	doc, e := s.migrated(1)
	if err := s.owner.Update(s.ctx, under(2), s.cfg.ID(1), "two"); err != nil {
		return err
	}
	for _, late := range []side.Version{{ID: e.ID, Doc: doc, At: changed}, {ID: e.ID, At: later}} {
		if err := s.tables.Apply(s.ctx, late); err != nil && !errors.Is(err, side.ErrServiceOwned) {
			s.do(err)
		}
	}
	s.do(s.batch(doc).Fill(s.ctx, true))
	if err := s.expectValue(under(2), s.cfg.ID(1), "two"); err != nil {
		return fmt.Errorf("after a late change, a late delete and a late copy: %w", err)
	}
	return nil
}

// lateCopy: a run that was stopped while copying goes on after the switch.
func lateCopy(s *stage) error {
	d := s.owner.(Deleter)
	first, second := s.document(1), s.document(2)
	half := s.batch(first, second)
	s.do(half.Fill(s.ctx, false)) // and the run is stopped before it has noted that
	made := s.document(3)
	if err := d.Create(s.ctx, under(2), s.cfg.ID(3), "three"); err != nil {
		return err
	}
	for n := 1; n <= 3; n++ {
		if err := d.Delete(s.ctx, under(2), s.cfg.ID(n)); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	s.do(half.Fill(s.ctx, false))
	s.do(half.Fill(s.ctx, true))
	for _, late := range []bson.Raw{first, made} {
		err := s.tables.Apply(s.ctx, side.Version{ID: late.Lookup("_id"), Doc: late, At: later})
		if err != nil && !errors.Is(err, side.ErrServiceOwned) {
			s.do(err)
		}
	}
	var problems []error
	for n := 1; n <= 3; n++ {
		problems = append(problems, s.expectAbsent(under(2), s.cfg.ID(n)))
	}
	if st := stamp.Of(s.itemOf(s.entry(first))); !st.Tombstone || st.Epoch != 2 {
		problems = append(problems, fmt.Errorf("a deleted item has %+v in %s, want a tombstone of epoch 2", st, stamp.Attribute))
	}
	return errors.Join(problems...)
}

// tombstones: those of the migration, and the owner's own.
func tombstones(s *stage) error {
	_, e := s.migrated(1)
	s.do(s.tables.Apply(s.ctx, side.Version{ID: e.ID, At: changed}))
	id := s.cfg.ID(1)
	if err := s.expectAbsent(under(2), id); err != nil {
		return err
	}
	if err := s.owner.Update(s.ctx, under(2), id, "two"); err == nil || errors.Is(err, ownership.ErrFenced) {
		return fmt.Errorf("update of a tombstone = %v, want that there is nothing", err)
	}
	for epoch := int64(2); epoch < 4; epoch++ {
		if err := s.owner.Create(s.ctx, under(epoch), id, "again"); err != nil {
			return fmt.Errorf("create in the place of a tombstone: %w", err)
		}
		err := errors.Join(s.expectValue(under(epoch), id, "again"), s.deleteAndMiss(under(epoch), id))
		if _, deletes := s.owner.(Deleter); err != nil || !deletes {
			return err
		}
	}
	return nil
}

// attributesKept: those of documents with more fields, and the codec's hints about them.
func attributesKept(s *stage) error {
	var doc bson.D
	s.do(bson.Unmarshal(s.document(1), &doc))
	doc = append(doc, bson.E{Key: "addedByOthers", Value: int32(7)}, bson.E{Key: "measured", Value: 0.5})
	raw, err := bson.Marshal(doc)
	s.do(err)
	s.do(s.batch(raw).Fill(s.ctx, false))
	e := s.entry(raw)
	before := s.itemOf(e)
	if err := s.owner.Update(s.ctx, under(2), s.cfg.ID(1), "two"); err != nil {
		return err
	}
	after := s.itemOf(e)
	for _, name := range []string{"addedByOthers", "measured"} {
		if before[name] == nil || !reflect.DeepEqual(before[name], after[name]) {
			return fmt.Errorf("the attribute %s was %v and is %v after an update", name, before[name], after[name])
		}
	}
	was, _ := before[stamp.Attribute].(*types.AttributeValueMemberM)
	is, _ := after[stamp.Attribute].(*types.AttributeValueMemberM)
	for name, v := range was.Value {
		if name != stamp.Epoch && (is == nil || !reflect.DeepEqual(v, is.Value[name])) {
			return fmt.Errorf("%s.%s was %v and is lost after an update: %v", stamp.Attribute, name, v, after[stamp.Attribute])
		}
	}
	return nil
}

// uniqueValues: what another entity has, be it migrated or the owner's, is taken.
func uniqueValues(s *stage) error {
	if len(s.cfg.Plan.Unique) == 0 || len(s.cfg.Plan.Unique) == 1 && s.cfg.Plan.Lookup() == 0 {
		s.t.Skip("the plan has no unique values")
	}
	var holder bson.D
	other := s.document(2)
	s.do(bson.Unmarshal(s.document(1), &holder))
	holder[0].Value = other.Lookup("_id")
	raw, err := bson.Marshal(holder)
	s.do(err)
	s.do(s.batch(raw).Fill(s.ctx, false)) // entity 2 has the unique values of entity 1
	err = s.owner.Create(s.ctx, under(2), s.cfg.ID(1), "newcomer")
	if err == nil || errors.Is(err, ownership.ErrFenced) {
		return fmt.Errorf("create with a unique value of another entity = %v, want an error, but not ErrFenced", err)
	}
	for i, entry := range s.uniqueOf(s.entry(raw)) {
		if owner, _ := entry["owner"].(*types.AttributeValueMemberS); owner == nil || owner.Value == "" || stamp.Of(entry).Epoch != stamp.FirstEpoch {
			return fmt.Errorf("the entry in %s is %v after a create that was refused", s.cfg.Plan.Unique[i].Table, entry)
		}
	}
	return s.expectAbsent(under(2), s.cfg.ID(1))
}
