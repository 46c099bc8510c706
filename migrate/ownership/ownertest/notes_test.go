package ownertest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/mongoclient"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/owned"
	"github.com/banyan-fig/banyan/migrate/ownership/ownertest"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
)

// notes is a small owner that keeps every rule of the contract: a note is {_id, slug,
// text}, its slug is unique. A mistake makes it break one.
type notes struct {
	docs    *owned.Collection
	db      *mongo.Database
	items   *awsdynamodb.Client
	mistake string
}

const notesPlan = `
entity: notes
source: {collection: notes}
target: {table: notes, key: {type: string}}
unique: [{field: slug, table: notes-slugs}]
fields: [{from: slug, type: string}, {from: text, type: string}]
`

func openNotes(mistake string) func(testing.TB, *mongo.Database, *awsdynamodb.Client) ownertest.Owner {
	return func(_ testing.TB, db *mongo.Database, tables *awsdynamodb.Client) ownertest.Owner {
		return &notes{docs: owned.New(mongoclient.Of(db), "notes"), db: db, items: tables, mistake: mistake}
	}
}

var (
	errNoNote = errors.New("no such note")
	errTaken  = errors.New("another note has this id or slug")
)

// of returns the collection of a grant.
func (n *notes) of(g ownership.Grant) owned.Handle {
	switch n.mistake {
	case "ignores the name in the grant":
		g.Collection, g.CollectionUUID = "", ""
	case "does not name the UUID":
		g.CollectionUUID = ""
	}
	return n.docs.For(g)
}

func (n *notes) Create(ctx context.Context, g ownership.Grant, id, value string) error {
	if g.Owner == ownership.DynamoDB {
		return n.createItem(ctx, g.Epoch, id, value)
	}
	err := n.of(g).InsertOne(ctx, bson.D{{Key: "_id", Value: id}, {Key: "slug", Value: "slug-" + id}, {Key: "text", Value: value}})
	if mongo.IsDuplicateKeyError(err) {
		return errTaken
	}
	return err
}

func (n *notes) Update(ctx context.Context, g ownership.Grant, id, value string) error {
	if g.Owner == ownership.DynamoDB {
		return n.updateItem(ctx, g.Epoch, id, value)
	}
	filter, update := bson.D{{Key: "_id", Value: id}}, bson.D{{Key: "$set", Value: bson.D{{Key: "text", Value: value}}}}
	if n.mistake == "replaces the document" {
		update = bson.D{{Key: "slug", Value: "slug-" + id}, {Key: "text", Value: value}}
	}
	var matched bool
	var err error
	if n.mistake == "believes that nothing was found" {
		out, updateErr := n.db.Collection(g.Collection).UpdateOne(ctx, filter, update)
		matched, err = updateErr == nil && out.MatchedCount > 0, updateErr
	} else {
		matched, err = n.of(g).UpdateOne(ctx, filter, update)
	}
	if err == nil && !matched {
		return errNoNote
	}
	return err
}

func (n *notes) Delete(ctx context.Context, g ownership.Grant, id string) error {
	if g.Owner == ownership.DynamoDB {
		return n.deleteItem(ctx, g.Epoch, id)
	}
	deleted, err := n.of(g).DeleteOne(ctx, bson.D{{Key: "_id", Value: id}})
	if err == nil && !deleted {
		return errNoNote
	}
	return err
}

func (n *notes) Get(ctx context.Context, g ownership.Grant, id string) (string, bool, error) {
	if g.Owner == ownership.DynamoDB {
		item, err := n.item(ctx, id)
		if err != nil || item == nil || stamp.Of(item).Tombstone && n.mistake != "reads tombstones" {
			return "", false, err
		}
		return dynamo.StringOf(item, "text"), true, nil
	}
	if n.mistake == "reads whatever has the name" {
		var doc struct{ Text string }
		err := n.db.Collection(g.Collection).FindOne(ctx, bson.D{{Key: "_id", Value: id}}).Decode(&doc)
		if errors.Is(err, mongo.ErrNoDocuments) {
			return "", false, nil
		}
		return doc.Text, err == nil, err
	}
	doc, found, err := n.of(g).FindOne(ctx, bson.D{{Key: "_id", Value: id}})
	if err != nil || !found {
		return "", false, err
	}
	return doc.Lookup("text").StringValue(), true, nil
}

func idKey(id string) dynamo.Item { return dynamo.Item{"id": dynamo.String(id)} }

func slugKey(id string) dynamo.Item { return dynamo.Item{"value": dynamo.String("slug#slug-" + id)} }

func (n *notes) item(ctx context.Context, id string) (dynamo.Item, error) {
	out, err := n.items.GetItem(ctx, &awsdynamodb.GetItemInput{
		TableName: aws.String("notes"), Key: idKey(id), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

// stamped adds the epoch to an item that is written anew.
func (n *notes) stamped(item dynamo.Item, epoch int64, tombstone bool) dynamo.Item {
	m := dynamo.Item{stamp.Epoch: dynamo.Int(epoch)}
	if n.mistake == "creates without an epoch" && !tombstone {
		m = dynamo.Item{stamp.Time: dynamo.Int(1)}
	}
	if tombstone {
		m[stamp.Tombstone] = dynamo.Bool(true)
	}
	item[stamp.Attribute] = &types.AttributeValueMemberM{Value: m}
	return item
}

const (
	notNewer  = "(attribute_not_exists(#b.#e) OR #b.#e <= :epoch)"
	isAlive   = "attribute_exists(#b) AND attribute_not_exists(#b.#d) AND " + notNewer
	isNothing = "attribute_not_exists(#b) OR (attribute_exists(#b.#d) AND " + notNewer + ")"
)

var stampNames = map[string]string{"#b": stamp.Attribute, "#e": stamp.Epoch, "#d": stamp.Tombstone}

func put(table string, item dynamo.Item, condition string, epoch int64) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &table, Item: item, ConditionExpression: &condition, ExpressionAttributeNames: stampNames,
		ExpressionAttributeValues: dynamo.Item{":epoch": dynamo.Int(epoch)},
	}}
}

func (n *notes) createItem(ctx context.Context, epoch int64, id, value string) error {
	item, entry := idKey(id), slugKey(id)
	item["slug"], item["text"], entry["owner"] = dynamo.String("slug-"+id), dynamo.String(value), dynamo.String(id)
	writes := []types.TransactWriteItem{put("notes", n.stamped(item, epoch, false), isNothing, epoch)}
	if n.mistake != "claims no unique value" {
		writes = append(writes, put("notes-slugs", n.stamped(entry, epoch, false), isNothing, epoch))
	}
	_, err := n.items.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{TransactItems: writes})
	return n.whyRefused(ctx, err, id, epoch, errTaken)
}

func (n *notes) updateItem(ctx context.Context, epoch int64, id, value string) error {
	item, err := n.item(ctx, id)
	if err != nil {
		return err
	}
	condition := isAlive
	switch n.mistake {
	case "puts the item that it knows":
		item = n.stamped(dynamo.Item{"id": dynamo.String(id), "slug": dynamo.String("slug-" + id), "text": dynamo.String(value)}, epoch, false)
		_, err := n.items.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{
			TransactItems: []types.TransactWriteItem{put("notes", item, isAlive, epoch)},
		})
		return n.whyRefused(ctx, err, id, epoch, errNoNote)
	case "looks at the epoch only when it reads":
		if stamp.Of(item).Epoch > epoch {
			return ownership.ErrFenced
		}
		condition = "attribute_not_exists(#b.#d) AND attribute_exists(#b) AND (attribute_exists(#b) OR #b.#e = :epoch)"
	}
	expression := "SET #text = :text, #b.#e = :epoch"
	if n.mistake == "updates without an epoch" {
		expression = "SET #text = :text"
	}
	names := map[string]string{"#text": "text"}
	for k, v := range stampNames {
		names[k] = v
	}
	_, err = n.items.UpdateItem(ctx, &awsdynamodb.UpdateItemInput{
		TableName: aws.String("notes"), Key: idKey(id), UpdateExpression: &expression, ConditionExpression: &condition,
		ExpressionAttributeNames:  names,
		ExpressionAttributeValues: dynamo.Item{":text": dynamo.String(value), ":epoch": dynamo.Int(epoch)},
	})
	return n.whyRefused(ctx, err, id, epoch, errNoNote)
}

// deleteItem leaves tombstones of the item and of its slug.
func (n *notes) deleteItem(ctx context.Context, epoch int64, id string) error {
	if n.mistake == "deletes plainly" {
		_, err := n.items.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Delete: &types.Delete{TableName: aws.String("notes"), Key: idKey(id), ConditionExpression: aws.String(isAlive),
				ExpressionAttributeNames: stampNames, ExpressionAttributeValues: dynamo.Item{":epoch": dynamo.Int(epoch)}}},
			{Delete: &types.Delete{TableName: aws.String("notes-slugs"), Key: slugKey(id)}},
		}})
		return n.whyRefused(ctx, err, id, epoch, errNoNote)
	}
	_, err := n.items.TransactWriteItems(ctx, &awsdynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		put("notes", n.stamped(idKey(id), epoch, true), isAlive, epoch),
		put("notes-slugs", n.stamped(slugKey(id), epoch, true), isAlive, epoch),
	}})
	return n.whyRefused(ctx, err, id, epoch, errNoNote)
}

// whyRefused tells a newer epoch from what is simply so.
func (n *notes) whyRefused(ctx context.Context, err error, id string, epoch int64, otherwise error) error {
	if !dynamo.IsConditionFailed(err) {
		return err
	}
	item, err := n.item(ctx, id)
	if err != nil {
		return err
	}
	if seen := stamp.Of(item).Epoch; seen > epoch {
		return fmt.Errorf("note %s is of epoch %d: %w", id, seen, ownership.ErrFenced)
	}
	return otherwise
}
