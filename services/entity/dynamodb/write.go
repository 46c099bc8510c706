package dynamodb

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/codec"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/publishers/direct"
	"github.com/banyan-fig/banyan/services/entity"
)

// form is a document as it stands in the tables.
type form struct {
	item    codec.Item
	key     dynamo.Item
	owner   string   // the key as text, as entries have it
	unique  []string // "" for none
	version int64
	mark    string // of the write, by which it is known again where its answer was lost
}

// formOf is that of a document; the zero form, without values, for none.
func (b *Backend) formOf(doc bson.Raw) (f form, err error) {
	f.unique = make([]string, len(b.plan.Unique))
	if doc == nil {
		return f, nil
	}
	if f.item, f.unique, err = b.plan.Fit(doc); err != nil {
		return f, fmt.Errorf("%w: %w", entity.ErrUnfit, err)
	}
	key := b.codec.KeyOf(f.item)
	f.key, f.owner = b.codec.KeyItem(key), codec.KeyText(key)
	f.version, f.mark = b.version(doc), rand.Text()[:12]
	return f, nil
}

// version is that of a document, 0 where it has none.
func (b *Backend) version(doc bson.Raw) int64 {
	version, _ := doc.Lookup(b.plan.VersionField).AsInt64OK()
	return version
}

// prepare is the document before and after a write, and the steps of its entries.
func (b *Backend) prepare(ctx context.Context, g ownership.Grant, w entity.Write) (was, is form, steps []step, err error) {
	if was, err = b.formOf(w.Before); err != nil {
		return was, is, nil, err
	}
	if is, err = b.formOf(w.After); err == nil {
		steps, err = b.entrySteps(ctx, g, w, was, is)
	}
	return was, is, steps, err
}

// Insert implements entity.Backend.
func (b *Backend) Insert(ctx context.Context, g ownership.Grant, w entity.Write) (direct.Write, error) {
	_, is, entries, err := b.prepare(ctx, g, w)
	if err != nil {
		return direct.Write{}, err
	}
	return b.commit(ctx, g, w, is.version, append([]step{b.putNew(g, is)}, entries...))
}

// Replace implements entity.Backend.
func (b *Backend) Replace(ctx context.Context, g ownership.Grant, w entity.Write) (left direct.Write, err error) {
	was, is, entries, err := b.prepare(ctx, g, w)
	switch {
	case err != nil:
		return left, err
	case was.owner != is.owner:
		return b.commit(ctx, g, w, is.version, append([]step{b.putNew(g, is), b.remove(g, was, w.Final)}, entries...))
	}
	left, err = b.commit(ctx, g, w, is.version, append([]step{b.update(g, was, is, false)}, entries...))
	if errors.Is(err, errUnstamped) {
		left, err = b.commit(ctx, g, w, is.version, append([]step{b.update(g, was, is, true)}, entries...))
	}
	return left, err
}

// Delete implements entity.Backend.
func (b *Backend) Delete(ctx context.Context, g ownership.Grant, w entity.Write) (direct.Write, error) {
	was, _, entries, err := b.prepare(ctx, g, w)
	if err != nil {
		return direct.Write{}, err
	}
	return b.commit(ctx, g, w, was.version+1, append([]step{b.remove(g, was, w.Final)}, entries...))
}

// putNew puts a document's item where nothing stands but a tombstone.
func (b *Backend) putNew(g ownership.Grant, is form) step {
	var x expression
	return x.put(b.plan.Target.Table, stamped(g, is), x.vacant(g, b.codec.KeyAttribute(), "", is.version)).marked(is)
}

// stamps are the members of the reserved attribute of a document's item.
func stamps(g ownership.Grant, is form) dynamo.Item {
	all := maps.Clone(stampsOf(is.item)) // the codec's
	if all == nil {
		all = dynamo.Item{}
	}
	all[stamp.Epoch], all[stamp.Touched] = dynamo.Int(g.Epoch), dynamo.String(is.mark)
	return all
}

func (s step) marked(is form) step {
	s.mark = is.mark
	return s
}

func stamped(g ownership.Grant, is form) dynamo.Item {
	item := maps.Clone(is.item)
	item[stamp.Attribute] = &types.AttributeValueMemberM{Value: stamps(g, is)}
	return item
}

// maxChanges is how many attributes an update changes: its text is 4 KB at most, with 300
// operators ("Service, account, and table quotas").
const maxChanges = 250

// update writes what has changed of an item. unstamped is for one without a reserved attribute.
func (b *Backend) update(g ownership.Grant, was, is form, unstamped bool) step {
	var x expression
	condition, reserved := b.unchanged(&x, g, was), " AND attribute_exists("
	var sets, removes []string
	for name, v := range is.item {
		if name != stamp.Attribute && !reflect.DeepEqual(v, was.item[name]) {
			sets = append(sets, x.name(name)+" = "+x.value(v))
		}
	}
	for name := range was.item {
		if name != stamp.Attribute && is.item[name] == nil {
			removes = append(removes, x.name(name))
		}
	}
	switch all := stamps(g, is); {
	case len(sets)+len(removes) > maxChanges:
		x = expression{}
		return x.put(b.plan.Target.Table, stamped(g, is), b.unchanged(&x, g, was)).marked(is)
	case unstamped:
		reserved = " AND attribute_not_exists("
		sets = append(sets, x.name(stamp.Attribute)+" = "+x.value(&types.AttributeValueMemberM{Value: all}))
	default:
		for name, v := range all {
			sets = append(sets, x.stamp(name)+" = "+x.value(v))
		}
		if all[codec.HintsMember] == nil { // those of before, also such as did not fit any more
			removes = append(removes, x.stamp(codec.HintsMember))
		}
	}
	condition += reserved + x.name(stamp.Attribute) + ")"
	text := "SET " + strings.Join(sets, ", ")
	if len(removes) > 0 {
		text += " REMOVE " + strings.Join(removes, ", ")
	}
	return step{constraint: noConstraint, mark: is.mark, TransactWriteItem: types.TransactWriteItem{Update: &types.Update{
		TableName: &b.plan.Target.Table, Key: was.key, UpdateExpression: &text, ConditionExpression: &condition,
		ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.values, ReturnValuesOnConditionCheckFailure: allOld}}}
}

// remove puts a tombstone in the place of a document's item, or nothing.
func (b *Backend) remove(g ownership.Grant, was form, final bool) step {
	var x expression
	return x.remove(b.plan.Target.Table, was.key, g, was.version+1, final, b.unchanged(&x, g, was))
}

// unchanged requires that an item is of the version that was read.
func (b *Backend) unchanged(x *expression, g ownership.Grant, was form) string {
	version := b.codec.Attribute(b.plan.VersionField)
	placeholder := x.name(version)
	same := "attribute_not_exists(" + placeholder + ")"
	if v := was.item[version]; v != nil {
		same = placeholder + " = " + x.value(v)
	}
	return fmt.Sprintf("attribute_exists(%s) AND attribute_not_exists(%s) AND %s AND %s",
		x.name(b.codec.KeyAttribute()), x.stamp(stamp.Tombstone), x.notNewer(g), same)
}

// entrySteps release the values that a document gives up, where its entries name it, and claim
// those that it takes; all that it has where its item moves.
func (b *Backend) entrySteps(ctx context.Context, g ownership.Grant, w entity.Write, was, is form) ([]step, error) {
	var steps []step
	for i, u := range b.plan.Unique {
		if value := was.unique[i]; value != "" && value != is.unique[i] {
			entries, err := b.entries(ctx, i, value)
			if err != nil {
				return nil, err
			}
			if entry := entries[value]; ownerOf(entry) == was.owner {
				version := was.version + 1
				if i != b.plan.Lookup() { // of another document next
					version = 0
				}
				steps = append(steps, release(u.Table, entry, g, version, w.Final))
			}
		}
		if value := is.unique[i]; value != "" && (value != was.unique[i] || is.owner != was.owner) {
			var x expression
			entry := dynamo.Item{entryValue: dynamo.String(value), entryOwner: dynamo.String(is.owner), stamp.Attribute: stamp.OfEpoch(g.Epoch)}
			claim := x.put(u.Table, entry, x.vacant(g, entryValue, cmp.Or(was.owner, is.owner), is.version))
			claim.constraint, claim.value = i, value
			steps = append(steps, claim)
		}
	}
	return steps, nil
}

// release gives up an entry, as whoever owns it.
func release(table string, entry dynamo.Item, g ownership.Grant, version int64, final bool) step {
	var x expression
	owned := x.name(entryOwner) + " = " + x.value(entry[entryOwner]) + " AND " + x.notNewer(g)
	return x.remove(table, dynamo.Item{entryValue: entry[entryValue]}, g, version, final, owned)
}

// step is one write of a transaction.
type step struct {
	types.TransactWriteItem
	constraint int // of which it claims a value; noConstraint for any other
	value      string
	mark       string // that its item gets; "" for a step that is no write of a document
}

const (
	noConstraint = -1
	allOld       = types.ReturnValuesOnConditionCheckFailureAllOld
)

// expression has the placeholders of a step's expressions.
type expression struct {
	names  map[string]string
	values dynamo.Item
}

func (x *expression) name(attribute string) string {
	if x.names == nil {
		x.names = map[string]string{}
	}
	placeholder := "#n" + strconv.Itoa(len(x.names))
	x.names[placeholder] = attribute
	return placeholder
}

func (x *expression) value(v types.AttributeValue) string {
	if x.values == nil {
		x.values = dynamo.Item{}
	}
	placeholder := ":v" + strconv.Itoa(len(x.values))
	x.values[placeholder] = v
	return placeholder
}

// stamp is the path of a member of the reserved attribute.
func (x *expression) stamp(member string) string {
	return x.name(stamp.Attribute) + "." + x.name(member)
}

// notNewer requires that nothing of a later epoch stands there.
func (x *expression) notNewer(g ownership.Grant) string {
	return fmt.Sprintf("(attribute_not_exists(%s) OR %s <= %s)", x.stamp(stamp.Epoch), x.stamp(stamp.Epoch), x.value(dynamo.Int(g.Epoch)))
}

// vacant requires that nothing stands there, or a tombstone of a smaller version, or what
// belongs to an owner.
func (x *expression) vacant(g ownership.Grant, key, owner string, version int64) string {
	gone := fmt.Sprintf("%s = %s AND (attribute_not_exists(%s) OR %s < %s)", x.stamp(stamp.Tombstone), x.value(dynamo.Bool(true)),
		x.stamp(stamp.Version), x.stamp(stamp.Version), x.value(dynamo.Int(version)))
	if owner != "" {
		gone = fmt.Sprintf("(%s OR %s = %s)", gone, x.name(entryOwner), x.value(dynamo.String(owner)))
	}
	return fmt.Sprintf("attribute_not_exists(%s) OR %s AND %s", x.name(key), gone, x.notNewer(g))
}

func (x *expression) put(table string, item dynamo.Item, condition string) step {
	return step{constraint: noConstraint, TransactWriteItem: types.TransactWriteItem{Put: &types.Put{
		TableName: &table, Item: item, ConditionExpression: &condition,
		ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.values, ReturnValuesOnConditionCheckFailure: allOld}}}
}

// remove leaves a tombstone, which remembers the version of the deletion, unless it is final.
func (x *expression) remove(table string, key dynamo.Item, g ownership.Grant, version int64, final bool, condition string) step {
	if final {
		return step{constraint: noConstraint, TransactWriteItem: types.TransactWriteItem{Delete: &types.Delete{
			TableName: &table, Key: key, ConditionExpression: &condition,
			ExpressionAttributeNames: x.names, ExpressionAttributeValues: x.values, ReturnValuesOnConditionCheckFailure: allOld}}}
	}
	item := maps.Clone(key)
	item[stamp.Attribute] = &types.AttributeValueMemberM{Value: dynamo.Item{
		stamp.Epoch: dynamo.Int(g.Epoch), stamp.Tombstone: dynamo.Bool(true), stamp.Version: dynamo.Int(version)}}
	return x.put(table, item, condition)
}
