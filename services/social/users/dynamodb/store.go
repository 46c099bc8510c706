package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/migrate/ownership"
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

// Store implements users.Store and users.Teller. It is safe for concurrent use.
type Store struct {
	api    API
	table  string
	unique string
	outbox Outbox
}

// New uses the given tables; empty names mean the defaults. It sends nothing.
func New(api API, table, uniqueTable string) *Store {
	if table == "" {
		table = DefaultTable
	}
	if uniqueTable == "" {
		uniqueTable = DefaultUniqueTable
	}
	return &Store{api: api, table: table, unique: uniqueTable}
}

// errAgain says that a write lost a race and should look again.
var errAgain = errors.New("changed by someone else at the same moment")

// Create implements users.Store: the item and its e-mail in one transaction.
func (s *Store) Create(ctx context.Context, epoch int64, u users.User) (users.User, bool, error) {
	stored, created, _, err := s.CreateTelling(ctx, epoch, u, nil)
	return stored, created, err
}

// CreateTelling implements users.Teller: the events are in the transaction, too.
func (s *Store) CreateTelling(ctx context.Context, epoch int64, u users.User, tell users.Tell) (users.User, bool, users.Kept, error) {
	stored, created, kept := u, false, users.Kept{}
	err := s.again(ctx, func() (err error) {
		stored, created, kept, err = s.createOnce(ctx, epoch, u, tell)
		return err
	})
	return stored, created, kept, err
}

func (s *Store) createOnce(ctx context.Context, epoch int64, u users.User, tell users.Tell) (users.User, bool, users.Kept, error) {
	items := []types.TransactWriteItem{
		{Put: put(s.table, "id", item(u, epoch), epoch)},
		{Put: put(s.unique, "value", uniqueItem(u, epoch), epoch)},
	}
	items, kept, err := s.keep(items, u, tell)
	if err != nil {
		return users.User{}, false, users.Kept{}, err
	}
	_, err = s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	if err == nil {
		return u, true, kept, nil
	}
	var cancelled *types.TransactionCanceledException
	if !errors.As(err, &cancelled) {
		return users.User{}, false, users.Kept{}, s.explain(err, "create user "+u.ID)
	}
	stored, err := s.whyNot(ctx, epoch, u, cancelled)
	return stored, false, users.Kept{}, err
}

// put replaces nothing but a tombstone that no newer epoch wrote.
func put(table, key string, item map[string]types.AttributeValue, epoch int64) *types.Put {
	return &types.Put{
		TableName: aws.String(table),
		Item:      item,
		ConditionExpression: aws.String(
			"attribute_not_exists(#key) OR (#b.#d = :true AND (attribute_not_exists(#b.#e) OR #b.#e <= :epoch))"),
		ExpressionAttributeNames:  map[string]string{"#key": key, "#b": reserved, "#d": "d", "#e": "e"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":true": boolean(true), ":epoch": number(epoch)},
	}
}

// whyNot looks for what made the transaction fail: the same user from an earlier
// attempt, another one, or a race.
func (s *Store) whyNot(ctx context.Context, epoch int64, u users.User, cancelled *types.TransactionCanceledException) (users.User, error) {
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
	if present(raw) && text(raw, "owner") != u.ID {
		return users.User{}, users.ErrEmailTaken
	}
	return users.User{}, fmt.Errorf("create user %s in %q: %w: %w", u.ID, s.table, errAgain, cancelled)
}

// Update implements users.Store: it reads the item and writes conditionally on
// what it read.
func (s *Store) Update(ctx context.Context, epoch int64, id string, c users.Change) (users.User, error) {
	u, _, err := s.UpdateTelling(ctx, epoch, id, c, nil)
	return u, err
}

// UpdateTelling implements users.Teller: the item and the events in one
// transaction.
func (s *Store) UpdateTelling(ctx context.Context, epoch int64, id string, c users.Change, tell users.Tell) (users.User, users.Kept, error) {
	var u users.User
	var kept users.Kept
	err := s.again(ctx, func() (err error) {
		u, kept, err = s.updateOnce(ctx, epoch, id, c, tell)
		return err
	})
	return u, kept, err
}

func (s *Store) updateOnce(ctx context.Context, epoch int64, id string, c users.Change, tell users.Tell) (users.User, users.Kept, error) {
	raw, err := s.get(ctx, s.table, "id", id)
	if err != nil {
		return users.User{}, users.Kept{}, err
	}
	if epochOf(raw) > epoch {
		return users.User{}, users.Kept{}, s.fenced(id, raw, epoch)
	}
	if !present(raw) {
		return users.User{}, users.Kept{}, users.ErrNotFound
	}
	u := decode(raw)
	if c.IfVersion != nil && *c.IfVersion != u.Version {
		if c.Done(u) {
			return u, users.Kept{}, nil
		}
		return users.User{}, users.Kept{}, users.ErrVersion
	}
	changed := c.Applied(u)
	items, kept, err := s.keep([]types.TransactWriteItem{{Update: update(s.table, raw, u, epoch, c)}}, changed, tell)
	if err != nil {
		return users.User{}, users.Kept{}, err
	}
	if err := s.commit(ctx, items); err != nil {
		return users.User{}, users.Kept{}, s.explain(err, "change user "+id)
	}
	return changed, kept, nil
}

// commit writes all items or none; errAgain where somebody else was at one of
// them. An update by itself needs no transaction, which would cost twice as much.
func (s *Store) commit(ctx context.Context, items []types.TransactWriteItem) error {
	if u := items[0].Update; len(items) == 1 && u != nil {
		_, err := s.api.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: u.TableName, Key: u.Key, UpdateExpression: u.UpdateExpression, ConditionExpression: u.ConditionExpression,
			ExpressionAttributeNames: u.ExpressionAttributeNames, ExpressionAttributeValues: u.ExpressionAttributeValues,
		})
		var failed *types.ConditionalCheckFailedException
		var met *types.TransactionConflictException
		if errors.As(err, &failed) || errors.As(err, &met) {
			return fmt.Errorf("%w: %w", errAgain, err)
		}
		return err
	}
	_, err := s.api.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: items})
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		return fmt.Errorf("%w: %w", errAgain, err)
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
	u, err := s.Get(ctx, text(raw, "owner"))
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
		keys[i] = map[string]types.AttributeValue{"id": str(id)}
	}
	wanted := map[string]types.KeysAndAttributes{s.table: {Keys: keys, ConsistentRead: aws.Bool(true)}}
	var all []users.User
	for try := 0; len(wanted) > 0; try++ {
		if err := backOff(ctx, try); err != nil {
			return nil, fmt.Errorf("get %d users from %q: %w", len(ids), s.table, err)
		}
		out, err := s.api.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: wanted})
		if err != nil {
			return nil, s.explain(err, fmt.Sprintf("get %d users", len(ids)))
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
			return nil, users.Cursor{}, s.explain(err, "list users")
		}
		for _, raw := range out.Items {
			if present(raw) {
				page = append(page, decode(raw))
			}
		}
		from.Key = text(out.LastEvaluatedKey, "id")
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
		in.ExclusiveStartKey = map[string]types.AttributeValue{"id": str(from.Key)}
	}
	if from.After != "" {
		in.FilterExpression = aws.String("#id > :after")
		in.ExpressionAttributeNames = map[string]string{"#id": "id"}
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":after": str(from.After)}
	}
	return in
}

func (s *Store) get(ctx context.Context, table, key, value string) (map[string]types.AttributeValue, error) {
	out, err := s.api.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &table, Key: map[string]types.AttributeValue{key: str(value)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, s.explain(err, fmt.Sprintf("read %q", table))
	}
	return out.Item, nil
}

// again repeats a write that lost a race.
func (s *Store) again(ctx context.Context, write func() error) error {
	var err error
	for try := range attempts {
		if waitErr := backOff(ctx, try); waitErr != nil {
			return errors.Join(err, waitErr)
		}
		if err = write(); !errors.Is(err, errAgain) {
			return err
		}
	}
	return err
}

func (s *Store) fenced(id string, raw map[string]types.AttributeValue, epoch int64) error {
	return fmt.Errorf("write user %s in %q with epoch %d: the item is of epoch %d: %w", id, s.table, epoch, epochOf(raw), ownership.ErrFenced)
}

func (s *Store) explain(err error, what string) error {
	var missing *types.ResourceNotFoundException
	if errors.As(err, &missing) {
		return fmt.Errorf("%s: there is no table %q or %q, which the migration makes, or no outbox %q, which the service makes at its start: %w",
			what, s.table, s.unique, s.outbox.Table, err)
	}
	return fmt.Errorf("%s in DynamoDB: %w", what, err)
}

// backOff waits before the second and later attempts.
func backOff(ctx context.Context, try int) error {
	if try == 0 {
		return ctx.Err()
	}
	most := min(5*time.Millisecond<<min(try, 10), 200*time.Millisecond)
	timer := time.NewTimer(most/2 + rand.N(most/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
