package dynamodb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/stamp"
	"github.com/banyan-fig/banyan/services/social/users"
)

// The names of the tables where none are configured.
const (
	DefaultTable       = "users"
	DefaultUniqueTable = "users-unique"
)

// attempts bounds how often a write is tried again after it lost a race.
const attempts = 8

// API is what the store needs of *dynamodb.Client.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	BatchGetItem(context.Context, *dynamodb.BatchGetItemInput, ...func(*dynamodb.Options)) (*dynamodb.BatchGetItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// Store implements users.Store and users.EventKeeper. It is safe for concurrent use.
type Store struct {
	api    API
	table  string
	unique string
	outbox Outbox
}

// New uses the given tables; empty names mean the defaults. It sends nothing.
func New(api API, table, uniqueTable string) *Store {
	return &Store{api: api, table: cmp.Or(table, DefaultTable), unique: cmp.Or(uniqueTable, DefaultUniqueTable)}
}

// errLostRace is returned for a write that lost a race and is worth another attempt.
var errLostRace = errors.New("changed by someone else at the same moment")

// Create implements users.Store: the item and its e-mail in one transaction.
func (s *Store) Create(ctx context.Context, epoch int64, u users.User) (users.User, bool, error) {
	stored, created, _, err := s.CreateWithEvents(ctx, epoch, u, nil)
	return stored, created, err
}

// CreateWithEvents implements users.EventKeeper: the events are in the transaction, too.
func (s *Store) CreateWithEvents(ctx context.Context, epoch int64, u users.User, makeEvents users.MakeEvents) (users.User, bool, users.Pending, error) {
	stored, created, pending := u, false, users.Pending{}
	err := s.retryLostRace(ctx, func() (err error) {
		stored, created, pending, err = s.createOnce(ctx, epoch, u, makeEvents)
		return err
	})
	return stored, created, pending, err
}

func (s *Store) createOnce(ctx context.Context, epoch int64, u users.User, makeEvents users.MakeEvents) (users.User, bool, users.Pending, error) {
	items := []types.TransactWriteItem{
		{Put: put(s.table, "id", item(u, epoch), epoch)},
		{Put: put(s.unique, "value", uniqueItem(u, epoch), epoch)},
	}
	items, pending, err := s.addEvents(items, u, makeEvents)
	if err != nil {
		return users.User{}, false, users.Pending{}, err
	}
	_, err = s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	if err == nil {
		return u, true, pending, nil
	}
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return users.User{}, false, users.Pending{}, s.wrap(err, "create user "+u.ID)
	}
	stored, err := s.whyCancelled(ctx, epoch, u, cancelled)
	return stored, false, users.Pending{}, err
}

// put replaces nothing but a tombstone that no newer epoch wrote.
func put(table, key string, item map[string]types.AttributeValue, epoch int64) *types.Put {
	return &types.Put{
		TableName: aws.String(table),
		Item:      item,
		ConditionExpression: aws.String(
			"attribute_not_exists(#key) OR (#b.#d = :true AND (attribute_not_exists(#b.#e) OR #b.#e <= :epoch))"),
		ExpressionAttributeNames:  map[string]string{"#key": key, "#b": stamp.Attribute, "#d": stamp.Tombstone, "#e": stamp.Epoch},
		ExpressionAttributeValues: map[string]types.AttributeValue{":true": dynamo.Bool(true), ":epoch": dynamo.Int(epoch)},
	}
}

// whyCancelled looks for what made the transaction fail: the same user from an earlier
// attempt, another one, or a race.
func (s *Store) whyCancelled(ctx context.Context, epoch int64, u users.User, cancelled *types.TransactionCanceledException) (users.User, error) {
	raw, err := s.get(ctx, s.table, "id", u.ID)
	if err != nil {
		return users.User{}, err
	}
	if epochOf(raw) > epoch {
		return users.User{}, s.fenced(u.ID, raw, epoch)
	}
	if present(raw) {
		stored := decode(raw)
		if stored.Email != u.Email {
			return users.User{}, users.ErrIDTaken
		}
		return stored, nil
	}
	raw, err = s.get(ctx, s.unique, "value", emailKey(u.Email))
	if err != nil {
		return users.User{}, err
	}
	if epochOf(raw) > epoch {
		return users.User{}, s.fenced(u.ID, raw, epoch)
	}
	if present(raw) && dynamo.StringOf(raw, "owner") != u.ID {
		return users.User{}, users.ErrEmailTaken
	}
	return users.User{}, fmt.Errorf("create user %s in %q: %w: %w", u.ID, s.table, errLostRace, cancelled)
}

// Update implements users.Store: it reads the item and writes conditionally on
// what it read.
func (s *Store) Update(ctx context.Context, epoch int64, id string, c users.Change) (users.User, error) {
	u, _, err := s.UpdateWithEvents(ctx, epoch, id, c, nil)
	return u, err
}

// UpdateWithEvents implements users.EventKeeper: the item and the events in one
// transaction.
func (s *Store) UpdateWithEvents(ctx context.Context, epoch int64, id string, c users.Change, makeEvents users.MakeEvents) (users.User, users.Pending, error) {
	var u users.User
	var pending users.Pending
	err := s.retryLostRace(ctx, func() (err error) {
		u, pending, err = s.updateOnce(ctx, epoch, id, c, makeEvents)
		return err
	})
	return u, pending, err
}

func (s *Store) updateOnce(ctx context.Context, epoch int64, id string, c users.Change, makeEvents users.MakeEvents) (users.User, users.Pending, error) {
	raw, err := s.get(ctx, s.table, "id", id)
	if err != nil {
		return users.User{}, users.Pending{}, err
	}
	if epochOf(raw) > epoch {
		return users.User{}, users.Pending{}, s.fenced(id, raw, epoch)
	}
	if !present(raw) {
		return users.User{}, users.Pending{}, users.ErrNotFound
	}
	u := decode(raw)
	if c.IfVersion != nil && *c.IfVersion != u.Version {
		if c.Done(u) {
			return u, users.Pending{}, nil
		}
		return users.User{}, users.Pending{}, users.ErrVersion
	}
	changed := c.Applied(u)
	items, pending, err := s.addEvents([]types.TransactWriteItem{{Update: update(s.table, raw, u, epoch, c)}}, changed, makeEvents)
	if err != nil {
		return users.User{}, users.Pending{}, err
	}
	if err := s.commit(ctx, items); err != nil {
		return users.User{}, users.Pending{}, s.wrap(err, "change user "+id)
	}
	return changed, pending, nil
}

// commit writes all items or none; errLostRace where another write got ahead. An update by itself needs no transaction, which would cost twice as much.
func (s *Store) commit(ctx context.Context, items []types.TransactWriteItem) error {
	if u := items[0].Update; len(items) == 1 && u != nil {
		_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression, ConditionExpression: u.ConditionExpression,
			ExpressionAttributeNames: u.ExpressionAttributeNames, ExpressionAttributeValues: u.ExpressionAttributeValues,
		})
		var failed *types.ConditionalCheckFailedException
		var met *types.TransactionConflictException
		if errors.As(err, &failed) || errors.As(err, &met) {
			return fmt.Errorf("%w: %w", errLostRace, err)
		}
		return err
	}
	_, err := s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		return fmt.Errorf("%w: %w", errLostRace, err)
	}
	return err
}

// Get implements users.Store.
func (s *Store) Get(ctx context.Context, id string) (users.User, error) {
	raw, err := s.get(ctx, s.table, "id", id)
	if err != nil {
		return users.User{}, err
	}
	if !present(raw) {
		return users.User{}, users.ErrNotFound
	}
	return decode(raw), nil
}

// ByEmail implements users.Store.
func (s *Store) ByEmail(ctx context.Context, email string) (users.User, error) {
	if email == "" {
		return users.User{}, users.ErrNotFound
	}
	raw, err := s.get(ctx, s.unique, "value", emailKey(email))
	if err != nil {
		return users.User{}, err
	}
	if !present(raw) {
		return users.User{}, users.ErrNotFound
	}
	u, err := s.Get(ctx, dynamo.StringOf(raw, "owner"))
	if err == nil && u.Email != email {
		return users.User{}, users.ErrNotFound
	}
	return u, err
}

// GetMany implements users.Store.
func (s *Store) GetMany(ctx context.Context, ids []string) ([]users.User, error) {
	var all []users.User
	for len(ids) > 0 {
		n := min(len(ids), 100) // BatchGetItem takes no more
		some, err := s.batch(ctx, ids[:n])
		if err != nil {
			return nil, err
		}
		all, ids = append(all, some...), ids[n:]
	}
	return all, nil
}

func (s *Store) batch(ctx context.Context, ids []string) ([]users.User, error) {
	keys := make([]map[string]types.AttributeValue, len(ids))
	for i, id := range ids {
		keys[i] = map[string]types.AttributeValue{"id": dynamo.String(id)}
	}
	wanted := map[string]types.KeysAndAttributes{s.table: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	var all []users.User
	for try := 0; len(wanted) > 0; try++ {
		if err := waitBefore(ctx, try); err != nil {
			return nil, fmt.Errorf("get %d users from %q: %w", len(ids), s.table, err)
		}
		out, err := s.api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: wanted})
		if err != nil {
			return nil, s.wrap(err, fmt.Sprintf("get %d users", len(ids)))
		}
		for _, raw := range out.Responses[s.table] {
			if present(raw) {
				all = append(all, decode(raw))
			}
		}
		wanted = out.UnprocessedKeys
	}
	return all, nil
}

// List implements users.Store.
func (s *Store) List(ctx context.Context, from users.Cursor, limit int) ([]users.User, users.Cursor, error) {
	var page []users.User
	for {
		in := s.scan(from, limit-len(page))
		out, err := s.api.Scan(ctx, in)
		if err != nil {
			return nil, users.Cursor{}, s.wrap(err, "list users")
		}
		for _, raw := range out.Items {
			if present(raw) {
				page = append(page, decode(raw))
			}
		}
		from.Key = dynamo.StringOf(out.LastEvaluatedKey, "id")
		if from.Key == "" {
			return page, users.Cursor{}, nil
		}
		if len(page) >= limit {
			return page, from, nil
		}
	}
}

func (s *Store) scan(from users.Cursor, limit int) *dynamodb.ScanInput {
	in := &dynamodb.ScanInput{TableName: &s.table, ConsistentRead: aws.Bool(true), Limit: aws.Int32(int32(limit))}
	if from.Key != "" {
		in.ExclusiveStartKey = map[string]types.AttributeValue{"id": dynamo.String(from.Key)}
	}
	if from.After != "" {
		in.FilterExpression = aws.String("#id > :after")
		in.ExpressionAttributeNames = map[string]string{"#id": "id"}
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":after": dynamo.String(from.After)}
	}
	return in
}

func (s *Store) get(ctx context.Context, table, key, value string) (map[string]types.AttributeValue, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &table, Key: map[string]types.AttributeValue{key: dynamo.String(value)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, s.wrap(err, fmt.Sprintf("read %q", table))
	}
	return out.Item, nil
}

// retryLostRace repeats a write that lost a race.
func (s *Store) retryLostRace(ctx context.Context, write func() error) error {
	var err error
	for try := range attempts {
		if waitErr := waitBefore(ctx, try); waitErr != nil {
			return errors.Join(err, waitErr)
		}
		if err = write(); !errors.Is(err, errLostRace) {
			return err
		}
	}
	return err
}

func (s *Store) fenced(id string, raw map[string]types.AttributeValue, epoch int64) error {
	return fmt.Errorf("write user %s in %q with epoch %d: the item is of epoch %d: %w", id, s.table, epoch, epochOf(raw), ownership.ErrFenced)
}

func (s *Store) wrap(err error, what string) error {
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return fmt.Errorf("%s: there is no table %q or %q, which the migration makes, or no outbox %q, which the service makes at its start: %w",
			what, s.table, s.unique, s.outbox.Table, err)
	}
	return fmt.Errorf("%s in DynamoDB: %w", what, err)
}

var betweenAttempts = backoff.Backoff{Min: 5 * time.Millisecond, Max: 200 * time.Millisecond}

// waitBefore waits before the second and later attempts.
func waitBefore(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	return betweenAttempts.Wait(ctx, attempt-1)
}
