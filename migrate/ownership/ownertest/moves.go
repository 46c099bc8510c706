package ownertest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/side"
)

// Mover is an Owner of a table whose key is made of other fields than the _id. The rule
// about moves is skipped for others.
type Mover interface {
	Owner
	// Move changes a field that the key is made of. It fails if there is no entity of that id.
	Move(ctx context.Context, g ownership.Grant, id string) error
}

// oneItem: an entity that moves leaves a tombstone behind, and takes all else along; late
// writes of where it was, or of where it never was here, find it by its entry.
func oneItem(s *stage) error {
	m, ok := s.owner.(Mover)
	if !ok || s.cfg.Plan.Lookup() < 0 {
		s.t.Skip("the service moves nothing, or the key is made of the _id alone")
	}
	doc, e := s.migrated(1)
	before, id := s.itemOf(e), s.cfg.ID(1)
	if err := m.Move(s.ctx, under(2), id); err != nil {
		return fmt.Errorf("move: %w", err)
	}
	problems := append(s.leftBehind(e.Key), s.takenAlong(before, doc)...)
	s.arriveLate(doc)
	problems = append(problems, s.leftBehind(e.Key)...)
	problems = append(problems, s.expectValue(under(2), id, "one"))
	if err := errors.Join(problems...); err != nil {
		return err
	}
	if err := m.Update(s.ctx, under(3), id, "three"); err != nil {
		return fmt.Errorf("update of what has moved: %w", err)
	}
	if err := expectFenced("a move under epoch 2 of an item of epoch 3", m.Move(s.ctx, under(2), id)); err != nil {
		return err
	}
	d, deletes := s.owner.(Deleter)
	if !deletes {
		return nil
	}
	if err := d.Delete(s.ctx, under(3), id); err != nil {
		return fmt.Errorf("delete of what has moved: %w", err)
	}
	s.arriveLate(doc)
	if err := s.expectAbsent(under(3), id); err != nil {
		return err
	}
	return d.Create(s.ctx, under(3), id, "again")
}

// arriveLate copies a document, and applies its changes, as it was before a move, under that
// key and under one of before the copy.
func (s *stage) arriveLate(doc bson.Raw) {
	s.t.Helper()
	var older bson.D
	s.do(bson.Unmarshal(doc, &older))
	fields := slices.Concat(s.cfg.Plan.Codec().KeyFields()...)
	for i := range older {
		if older[i].Key != "_id" && slices.Contains(fields, older[i].Key) {
			older[i].Value = "of before the copy"
		}
	}
	raw, err := bson.Marshal(older)
	s.do(err)
	for _, late := range []bson.Raw{doc, raw} {
		s.do(errors.Join(s.batch(late).Fill(s.ctx, false), s.batch(late).Fill(s.ctx, true)))
		err := s.tables.Apply(s.ctx, side.Version{ID: late.Lookup("_id"), Doc: late, At: later})
		if err != nil && !errors.Is(err, side.ErrServiceOwned) {
			s.do(err)
		}
	}
}

// leftBehind are the problems of what stands where an entity was.
func (s *stage) leftBehind(key types.AttributeValue) []error {
	s.t.Helper()
	old, _, err := s.tables.Get(s.ctx, []types.AttributeValue{key}, nil)
	s.do(err)
	if st := stamp.Of(old[codec.KeyText(key)]); !st.Tombstone || st.Epoch != 2 {
		return []error{fmt.Errorf("behind a move under epoch 2 stands %+v, want a tombstone of that epoch", st)}
	}
	return nil
}

// takenAlong are the problems of what an entity has where its entry leads.
func (s *stage) takenAlong(before codec.Item, doc bson.Raw) (problems []error) {
	s.t.Helper()
	keys, err := s.tables.Keys(s.ctx, []bson.RawValue{doc.Lookup("_id")})
	s.do(err)
	key := keys[side.IDKey(doc.Lookup("_id"))]
	if key == nil {
		return []error{errors.New("behind a move the entry of the _id names no item")}
	}
	items, _, err := s.tables.Get(s.ctx, []types.AttributeValue{key}, nil)
	s.do(err)
	item := items[codec.KeyText(key)]
	if st := stamp.Of(item); item == nil || st.Tombstone || st.Epoch != 2 {
		return []error{fmt.Errorf("where the entry of the _id leads behind a move under epoch 2 stands %+v", st)}
	}
	moves := append(slices.Concat(s.cfg.Plan.Codec().KeyFields()...), s.cfg.Plan.VersionField)
	for _, a := range s.cfg.Plan.Codec().KeyAttributes() {
		moves = append(moves, a.Name)
	}
	for name, v := range before {
		if name != stamp.Attribute && !slices.Contains(moves, name) && !reflect.DeepEqual(v, item[name]) {
			problems = append(problems, fmt.Errorf("the attribute %s was %v and is %v behind a move", name, v, item[name]))
		}
	}
	for i, entry := range s.uniqueOf(s.entry(doc)) {
		owner, _ := entry["owner"].(*types.AttributeValueMemberS)
		if owner == nil || owner.Value != codec.KeyText(key) || stamp.Of(entry).Epoch != 2 {
			problems = append(problems, fmt.Errorf("the entry in %s is %v behind a move under epoch 2", s.cfg.Plan.Unique[i].Table, entry))
		}
	}
	return problems
}
