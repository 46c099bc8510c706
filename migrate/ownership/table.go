package ownership

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DefaultTable is the name of the control table where none is configured.
const DefaultTable = "banyan-control"

// DynamoDBAPI is what this package needs of *dynamodb.Client.
type DynamoDBAPI interface {
	dynamo.TableAPI
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
}

// Table is the control table: keys pk and sk, pk = "entity#<name>". It is safe
// for concurrent use.
type Table struct {
	client DynamoDBAPI
	name   string
	kept   sync.Map // entity to the revision of the change that was last written down
}

// attemptTimeout bounds one request of a coordinator to the control table, and
// attempts how often one is sent before its error is returned.
const (
	attemptTimeout = time.Second
	attempts       = 5
)

// NewTable uses the table called name; empty means DefaultTable. It sends nothing.
func NewTable(client DynamoDBAPI, name string) *Table {
	return &Table{client: client, name: cmp.Or(name, DefaultTable)}
}

// Name returns the name of the table.
func (t *Table) Name() string { return t.name }

// Ensure creates the control table unless it exists, and waits, at most as long
// as ctx and a minute, until it can be used.
func (t *Table) Ensure(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := dynamo.EnsureTable(ctx, t.client, dynamo.CompositeTable(t.name)); err != nil {
		return fmt.Errorf("create the control table: %w", err)
	}
	return nil
}

// Load reads the record consistently. An entity without a record belongs to
// MongoDB: epoch 1, phase legacy, revision 0. ErrNoTable when the table is missing.
func (t *Table) Load(ctx context.Context, entity string) (Record, error) {
	var r Record
	err := t.retry(ctx, func(ctx context.Context) (err error) {
		r, _, err = t.loadOnce(ctx, entity)
		return err
	})
	return r, err
}

// Update applies change to r and stores the result, unless another process changed the
// record since r was loaded: then it fails with ErrConflict. It sets Revision, HeldAt
// when Hold changes, Turn with HoldUntil, Changed with Owner and Phase, and no
// CollectionUUID where a Move ends without a Collection. It
// retries when the table is slow or throttles, and recognises its own write when the
// answer was lost.
//
// ErrInvalid is returned for a change that breaks a rule. Owner and Epoch change
// together, the latter by one, and not while there is a Move. Generation never falls.
// Collection and CollectionUUID change only in the change that clears Move: to Move.To,
// or to "" in the phase Abandoned; but the UUID can be set with the first Move, and while
// MongoDB is the owner and there is no Move to that of another collection that stands
// there now. A hold with a Move ends only in or after the change that clears the Move.
func (t *Table) Update(ctx context.Context, r Record, change func(*Record)) (Record, error) {
	next := r.clone()
	change(&next)
	next.Revision = r.Revision + 1
	if r.Move != nil && next.Move == nil && next.Collection == "" {
		next.CollectionUUID = ""
	}
	if next.Hold != r.Hold && next.HeldAt.Equal(r.HeldAt) {
		next.HeldAt = time.Time{}
		if next.Hold {
			next.HeldAt = time.Now().UTC().Round(0)
		}
	}
	if !next.HoldUntil.Equal(r.HoldUntil) {
		next.Turn = 0
		if !next.HoldUntil.IsZero() {
			next.Turn = max(time.Millisecond, time.Until(next.HoldUntil).Round(time.Millisecond))
		}
	}
	if err := validateChange(r, next); err != nil {
		return Record{}, err
	}
	if noteChange(r, &next); next.Changed != r.Changed {
		if err := t.keepChange(ctx, r); err != nil {
			return Record{}, err
		}
	}
	token := uuid.NewString()
	err := t.retry(ctx, func(ctx context.Context) error { return t.replaceOnce(ctx, r, next, token) })
	if err != nil {
		return Record{}, err
	}
	if next.Changed != r.Changed && !next.Hold { // else writes would wait for it
		t.keepSoon(ctx, next)
	}
	return next, nil
}

func (t *Table) loadOnce(ctx context.Context, entity string) (Record, string, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.name, Key: key(entity, ownerKey), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return Record{}, "", t.wrapError(err, "load the ownership record of "+entity)
	}
	if len(out.Item) == 0 {
		return initialRecord(entity), "", nil
	}
	r, token, err := decodeRecord(entity, out.Item)
	if err != nil {
		return Record{}, "", fmt.Errorf("load the ownership record of %s from %q: %w", entity, t.name, err)
	}
	return r, token, nil
}

func (t *Table) replaceOnce(ctx context.Context, old, next Record, token string) error {
	in := &dynamodb.PutItemInput{TableName: &t.name, Item: encodeRecord(next, token)}
	if old.Revision == 0 {
		in.ConditionExpression = aws.String("attribute_not_exists(pk)")
	} else {
		in.ConditionExpression = aws.String("#revision = :old")
		in.ExpressionAttributeNames = map[string]string{"#revision": "revision"}
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":old": dynamo.Int(old.Revision)}
	}
	_, err := t.client.PutItem(ctx, in)
	if !dynamo.IsConditionFailed(err) {
		return t.wrapError(err, "change the ownership record of "+old.Entity)
	}
	now, stored, loadErr := t.loadOnce(ctx, old.Entity)
	if loadErr != nil {
		return loadErr
	}
	if stored == token {
		return nil
	}
	return fmt.Errorf("change the ownership record of %s from revision %d: it is at %d: %w",
		old.Entity, old.Revision, now.Revision, ErrConflict)
}

// delays are those between the attempts of one request.
var delays = backoff.Backoff{Min: 20 * time.Millisecond, Max: 2 * time.Second}

// retry sends a request again when it was slow, throttled or failed in the server.
func (t *Table) retry(ctx context.Context, send func(context.Context) error) error {
	var err error
	for i := range attempts {
		attempt, cancel := context.WithTimeout(ctx, attemptTimeout)
		err = send(attempt)
		cancel()
		if err == nil || !retryable(err) || ctx.Err() != nil {
			return err
		}
		if delays.Wait(ctx, i) != nil {
			return err
		}
	}
	return err
}

// retryable reports whether another attempt can help. Errors of this package and a
// missing table are permanent.
func retryable(err error) bool {
	return !errors.Is(err, ErrNoTable) && !errors.Is(err, ErrConflict) && !errors.Is(err, errMalformed) && !errors.Is(err, errEvicted)
}

func (t *Table) wrapError(err error, what string) error {
	if err == nil {
		return nil
	}
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return fmt.Errorf("%s: %w: there is no table %q; run \"banyan-migrate init\" to create it", what, ErrNoTable, t.name)
	}
	return fmt.Errorf("%s in %q: %w", what, t.name, err)
}
