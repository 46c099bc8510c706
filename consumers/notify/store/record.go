package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// State of a notification.
type State string

// The states. Sending and Deferred go on, the others are final.
const (
	Sending    State = "sending"    // somebody sends it, until Record.Lock
	Deferred   State = "deferred"   // it is sent at Record.Due
	Sent       State = "sent"       // at least one address accepted it
	Suppressed State = "suppressed" // the user did not want it, or has no address for it
	Failed     State = "failed"     // no address accepted it
	Uncertain  State = "uncertain"  // it may have been sent, and is not sent again
)

// Record is a notification as the table has it.
type Record struct {
	// User, Event (its id), Template and At (the event's time) are the identity.
	User     string    `dynamodbav:"user" json:"user"`
	Event    string    `dynamodbav:"event" json:"event"`
	Template string    `dynamodbav:"template" json:"template"`
	At       time.Time `dynamodbav:"at" json:"at"`

	State State `dynamodbav:"state" json:"state"`
	// Why says more: a reason to suppress it, the last failure.
	Why string `dynamodbav:"why,omitempty" json:"why,omitempty"`
	// Results are what became of it, by the id of the address: "sent", or a verdict
	// that no retry changes.
	Results map[string]string `dynamodbav:"results,omitempty" json:"results,omitempty"`
	// Attempts is how often it was claimed.
	Attempts int `dynamodbav:"attempts,omitempty" json:"attempts,omitempty"`
	// Changed is when this was written, by the writer's clock.
	Changed time.Time `dynamodbav:"changed" json:"changed"`
	// Due is when it is to be sent; zero where nobody waits for that.
	Due time.Time `dynamodbav:"due" json:"due,omitzero"`
	// Lock is until when whoever sends it is left alone.
	Lock time.Time `dynamodbav:"lock" json:"-"`
	// Job is what a deferred notification needs to be sent, nil for others.
	Job json.RawMessage `dynamodbav:"job,omitempty" json:"-"`

	// Revision differs after each write.
	Revision string `dynamodbav:"revision" json:"-"`
	// Expires is when the table forgets it, in seconds.
	Expires int64 `dynamodbav:"expires" json:"-"`
}

// ErrChanged is returned by [Store.Save] where another one changed the record.
var ErrChanged = errors.New("the notification was changed by another process")

// ErrLimited is returned by [Store.Save] where the user's limit is used up.
var ErrLimited = errors.New("the limit of the user is used up")

// Final reports whether nothing more happens to the notification.
func (r Record) Final() bool { return r.State != Sending && r.State != Deferred }

func (r Record) sortKey() string {
	return skSent + instant(r.At) + "#" + r.Template + "#" + r.Event
}

// instant is a time that sorts as text.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (r Record) key() dynamo.Item { return dynamo.Key(userKey(r.User), r.sortKey()) }

// Get reads the record with the identity of r; false where there is none.
func (s *Store) Get(ctx context.Context, r Record) (Record, bool, error) {
	return s.get(ctx, r.key())
}

func (s *Store) get(ctx context.Context, key dynamo.Item) (Record, bool, error) {
	var found Record
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: key, ConsistentRead: aws.Bool(true)})
	if err == nil {
		err = attributevalue.UnmarshalMap(out.Item, &found)
	}
	if err != nil {
		return found, false, fmt.Errorf("read a notification: %w", err)
	}
	return found, len(out.Item) > 0, nil
}

// Save writes next over the record as it was read, or a new one where old is nil, and
// counts it against a limit that is not nil. Everything happens, or nothing.
// [ErrChanged] comes with the record as it is, [ErrLimited] with next.
func (s *Store) Save(ctx context.Context, old *Record, next Record, limit *Limit, now time.Time) (Record, error) {
	next.Changed, next.Revision = now.UTC(), uuid.NewString()
	next.Expires = now.Add(Retention).Unix()
	saved := next
	err := retryRaced(ctx, func() error {
		writes, err := s.writesOf(ctx, old, next, limit, now)
		if err != nil {
			return err
		}
		return s.write(ctx, writes...)
	})
	if firstFailed(err) {
		if saved, _, err = s.Get(ctx, next); err == nil && saved.Revision != next.Revision { // else the answer to the first attempt was lost
			err = ErrChanged
		}
	}
	if err != nil {
		return saved, fmt.Errorf("save notification %s of event %q: %w", next.Template, next.Event, err)
	}
	return saved, nil
}

func (s *Store) writesOf(ctx context.Context, old *Record, next Record, limit *Limit, now time.Time) ([]types.TransactWriteItem, error) {
	item, err := itemOf(userKey(next.User), next.sortKey(), next)
	if err != nil {
		return nil, err
	}
	held, before := absent, time.Time{}
	if old != nil {
		held = condition{"#revision = :revision", []string{"revision"}, dynamo.Item{":revision": dynamo.String(old.Revision)}}
		before = old.Due
	}
	writes := []types.TransactWriteItem{s.put(item, held)}
	if !before.Equal(next.Due) {
		if !before.IsZero() {
			writes = append(writes, s.delete(dueKey(next, before), condition{}))
		}
		if !next.Due.IsZero() {
			writes = append(writes, s.put(pointerTo(next), condition{}))
		}
	}
	if limit == nil {
		return writes, nil
	}
	counted, err := s.count(ctx, next.User, *limit, now)
	return append(writes, counted), err
}

// Sent lists notifications of a user, newest event first, at most n (1 to 100) of those
// before a cursor, "" for the newest. next is the cursor of the following page, "" at the end.
func (s *Store) Sent(ctx context.Context, user, before string, n int) (records []Record, next string, err error) {
	in := &dynamodb.QueryInput{
		TableName: &s.table, ScanIndexForward: aws.Bool(false), Limit: aws.Int32(int32(min(max(n, 1), 100))),
		KeyConditionExpression:    aws.String("pk = :pk AND begins_with(sk, :sent)"),
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(userKey(user)), ":sent": dynamo.String(skSent)},
	}
	if before != "" {
		in.ExclusiveStartKey = dynamo.Key(userKey(user), skSent+before)
	}
	out, err := s.client.Query(ctx, in)
	if err == nil {
		err = attributevalue.UnmarshalListOfMaps(out.Items, &records)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list the notifications of user %q: %w", user, err)
	}
	if len(out.LastEvaluatedKey) > 0 {
		next = dynamo.StringOf(out.LastEvaluatedKey, dynamo.AttrSK)[len(skSent):]
	}
	return records, next, nil
}
