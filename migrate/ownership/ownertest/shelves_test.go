package ownertest_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/ownertest"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// shelves are notes that stand on shelves, by which the table is queried: the key of a note
// is made of its shelf, and changes with it.
type shelves struct{ *notes }

const shelvesPlan = `
entity: notes
source: {collection: notes}
target: {table: notes, key: {type: string, template: "{shelf}#{_id}"}}
unique: [{field: slug, table: notes-slugs}, {field: _id, table: notes-ids}]
fields: [{from: slug, type: string}, {from: text, type: string}]
`

func shelvesConfig(t *testing.T, mistake string) ownertest.Config {
	t.Helper()
	p, err := plan.Parse("notes.yaml", []byte(shelvesPlan))
	if err != nil {
		t.Fatal(err)
	}
	return ownertest.Config{Plan: p, Open: func(t testing.TB, db *mongo.Database, tables *awsdynamodb.Client) ownertest.Owner {
		return shelves{openNotes(mistake)(t, db, tables).(*notes)}
	}}
}

// TestAnOwnerWhoseItemsMove keeps every rule of the table, and the kit finds what it may do
// wrong.
func TestAnOwnerWhoseItemsMove(t *testing.T) {
	rules := ownertest.Rules()
	rules = rules[slices.IndexFunc(rules, func(r ownertest.Rule) bool { return strings.HasPrefix(r.Name, "Every item") }):]
	for _, r := range rules {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			if err := r.Check(t, shelvesConfig(t, "")); err != nil {
				t.Error(err)
			}
		})
	}
	moves := rules[len(rules)-1]
	for _, mistake := range []string{"leaves the old item", "removes the old item", "leaves the slug's entry", "leaves the entry of the _id",
		"moves what it knows", "moves under any epoch", "removes the entry of the _id"} {
		t.Run(mistake, func(t *testing.T) {
			t.Parallel()
			if moves.Check(t, shelvesConfig(t, mistake)) == nil {
				t.Error("the kit did not find it")
			}
		})
	}
}

func shelfKey(shelf, id string) dynamo.Item {
	return dynamo.Item{"id": dynamo.String(shelf + "#" + id)}
}

// owned is an entry of a unique value that an item has.
func (n shelves) owned(value string, key dynamo.Item, epoch int64) dynamo.Item {
	return n.stamped(dynamo.Item{"value": dynamo.String(value), "owner": key["id"]}, epoch, false)
}

func gone(key dynamo.Item, table, condition string, epoch int64) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{TableName: &table, Key: key, ConditionExpression: &condition,
		ExpressionAttributeNames: stampNames, ExpressionAttributeValues: dynamo.Item{":epoch": dynamo.Int(epoch)}}}
}

// find is the item of a note by the entry of its _id, nil for none. Where the note moves
// between the two reads it reads again.
func (n shelves) find(ctx context.Context, id string) (dynamo.Item, error) {
	get := func(table string, key dynamo.Item) (dynamo.Item, error) {
		out, err := n.items.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: &table, Key: key, ConsistentRead: aws.Bool(true)})
		if err != nil || stamp.Of(out.Item).Tombstone {
			return nil, err
		}
		return out.Item, nil
	}
	for range 10 {
		entry, err := get("notes-ids", dynamo.Item{"value": dynamo.String("_id#" + id)})
		if err != nil || entry == nil {
			return nil, err
		}
		if item, err := get("notes", dynamo.Item{"id": entry["owner"]}); err != nil || item != nil {
			return item, err
		}
	}
	return nil, fmt.Errorf("note %s has an entry and no item", id)
}

// write writes a transaction, and says why it was refused: by the epochs of what it was about.
func (n shelves) write(ctx context.Context, writes []types.TransactWriteItem, epoch int64, otherwise error) error {
	_, err := n.items.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{TransactItems: writes})
	if !dynamo.IsConditionFailed(err) {
		return err
	}
	for _, w := range writes {
		if w.Put == nil {
			continue
		}
		table, key := w.Put.TableName, dynamo.Item{}
		for _, name := range []string{"id", "value"} {
			if w.Put.Item[name] != nil {
				key[name] = w.Put.Item[name]
			}
		}
		out, err := n.items.GetItem(ctx, &awsdynamodb.GetItemInput{TableName: table, Key: key, ConsistentRead: aws.Bool(true)})
		if err != nil {
			return err
		}
		if stamp.Of(out.Item).Epoch > epoch {
			return ownership.ErrFenced
		}
	}
	return otherwise
}

func (n shelves) Create(ctx context.Context, g ownership.Grant, id, value string) error {
	if g.Owner == ownership.MongoDB {
		err := n.of(g).InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "slug", Value: "slug-" + id}, {Key: "text", Value: value}, {Key: "shelf", Value: "a"}})
		if mongo.IsDuplicateKeyError(err) {
			return errTaken
		}
		return err
	}
	key := shelfKey("a", id)
	item := maps.Clone(key)
	item["slug"], item["text"], item["shelf"] = dynamo.String("slug-"+id), dynamo.String(value), dynamo.String("a")
	return n.write(ctx, []types.TransactWriteItem{put("notes", n.stamped(item, g.Epoch, false), isNothing, g.Epoch),
		put("notes-ids", n.owned("_id#"+id, key, g.Epoch), isNothing, g.Epoch),
		put("notes-slugs", n.owned("slug#slug-"+id, key, g.Epoch), isNothing, g.Epoch)}, g.Epoch, errTaken)
}

func (n shelves) Get(ctx context.Context, g ownership.Grant, id string) (string, bool, error) {
	if g.Owner == ownership.MongoDB {
		return n.notes.Get(ctx, g, id)
	}
	item, err := n.find(ctx, id)
	return dynamo.StringOf(item, "text"), item != nil, err
}

func (n shelves) Update(ctx context.Context, g ownership.Grant, id, value string) error {
	if g.Owner == ownership.MongoDB {
		return n.notes.Update(ctx, g, id, value)
	}
	item, err := n.find(ctx, id)
	if err != nil || item == nil {
		return cmp.Or(err, errNoNote)
	}
	item["text"] = dynamo.String(value)
	return n.write(ctx, []types.TransactWriteItem{put("notes", restamped(item, g.Epoch), isAlive, g.Epoch)}, g.Epoch, errNoNote)
}

// restamped is an item that was read, as it is written under an epoch: it keeps what it has.
func restamped(item dynamo.Item, epoch int64) dynamo.Item {
	m := dynamo.Item{}
	if had, ok := item[stamp.Attribute].(*types.AttributeValueMemberM); ok {
		m = maps.Clone(had.Value)
	}
	m[stamp.Epoch] = dynamo.Int(epoch)
	item[stamp.Attribute] = &types.AttributeValueMemberM{Value: m}
	return item
}

func (n shelves) Delete(ctx context.Context, g ownership.Grant, id string) error {
	if g.Owner == ownership.MongoDB {
		return n.notes.Delete(ctx, g, id)
	}
	item, err := n.find(ctx, id)
	if err != nil || item == nil {
		return cmp.Or(err, errNoNote)
	}
	writes := []types.TransactWriteItem{put("notes", n.stamped(dynamo.Item{"id": item["id"]}, g.Epoch, true), isAlive, g.Epoch),
		put("notes-slugs", n.stamped(slugKey(id), g.Epoch, true), isAlive, g.Epoch),
		put("notes-ids", n.stamped(dynamo.Item{"value": dynamo.String("_id#" + id)}, g.Epoch, true), isAlive, g.Epoch)}
	if n.mistake == "removes the entry of the _id" {
		writes[2] = gone(dynamo.Item{"value": dynamo.String("_id#" + id)}, "notes-ids", isAlive, g.Epoch)
		writes[1] = gone(slugKey(id), "notes-slugs", isAlive, g.Epoch)
	}
	return n.write(ctx, writes, g.Epoch, errNoNote)
}

// Move puts a note on another shelf.
func (n shelves) Move(ctx context.Context, g ownership.Grant, id string) error {
	item, err := n.find(ctx, id)
	if err != nil || item == nil {
		return cmp.Or(err, errNoNote)
	}
	alive, shelf := isAlive, dynamo.StringOf(item, "shelf")+"+"
	if n.mistake == "moves under any epoch" {
		alive = "attribute_exists(#b) OR #b.#d = :epoch OR #b.#e <= :epoch"
	}
	old, key := dynamo.Item{"id": item["id"]}, shelfKey(shelf, id)
	if n.mistake == "moves what it knows" {
		item = dynamo.Item{"text": item["text"], stamp.Attribute: item[stamp.Attribute]}
	}
	item["id"], item["shelf"] = key["id"], dynamo.String(shelf)
	writes := []types.TransactWriteItem{put("notes", restamped(item, g.Epoch), isNothing, g.Epoch)}
	switch n.mistake {
	case "leaves the old item":
	case "removes the old item":
		writes = append(writes, gone(old, "notes", alive, g.Epoch))
	default:
		writes = append(writes, put("notes", n.stamped(old, g.Epoch, true), alive, g.Epoch))
	}
	if n.mistake != "leaves the entry of the _id" {
		writes = append(writes, put("notes-ids", n.owned("_id#"+id, key, g.Epoch), alive, g.Epoch))
	}
	if n.mistake != "leaves the slug's entry" {
		writes = append(writes, put("notes-slugs", n.owned("slug#slug-"+id, key, g.Epoch), alive, g.Epoch))
	}
	return n.write(ctx, writes, g.Epoch, errNoNote)
}
