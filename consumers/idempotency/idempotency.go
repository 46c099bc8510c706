package idempotency

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Client is the part of the DynamoDB client that a Store uses.
type Client interface {
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
}

// Config configures a Store. Client and Table are required.
type Config struct {
	Client Client
	Table  string
	// Lock is how long a call may take before another one of its key may begin, when ctx has
	// no deadline, or a later one. 0: 15 minutes, the longest that a function runs.
	Lock time.Duration
	// Keep is how long an answer is replayed. 0: 24 hours.
	Keep time.Duration
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// Store keeps locks and answers. Safe for concurrent use.
type Store struct{ cfg Config }

// TableInput defines the table; let it expire items by the attribute expires.
func TableInput(name string) *dynamodb.CreateTableInput { return dynamo.CompositeTable(name) }

// New makes a store on a table that exists.
func New(cfg Config) *Store {
	cfg.Lock, cfg.Keep = cmp.Or(cfg.Lock, 15*time.Minute), cmp.Or(cfg.Keep, 24*time.Hour)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Store{cfg}
}

// ErrInProgress is returned for a key whose effect another call has just now, or whose process
// died within it. It is [consumers.Unavailable]: the message is delivered again.
var ErrInProgress = errors.New("another call of this key is in progress, or died")

// ErrKey is returned for a key that is empty or longer than a table allows.
var ErrKey = fmt.Errorf("a key must have 1 to %d bytes", maxKey)

const (
	prefix     = "idempotency#"
	maxKey     = 2048 - len(prefix) // DynamoDB's limit of a partition key
	maxAnswer  = 380 << 10          // of an item, with room for the rest
	attrToken  = "token"            // of the call that has the lock
	attrUntil  = "until"            // when the lock or the answer ends, in milliseconds
	attrAnswer = "answer"           // as JSON; absent while the lock is held
	// spare is for what has to be written when ctx has ended.
	spare = 2 * time.Second
)

// Do has the effect, or returns the answer of an earlier call of the key. It returns the
// effect's error as it is. Answers are kept as JSON, 380 KiB at most; one that cannot be is an
// error, as is one that cannot be written down: the effect happened, and another call waits
// until the lock ends.
func Do[T any](ctx context.Context, s *Store, key string, effect func(context.Context) (T, error)) (answer T, err error) {
	if key == "" || len(key) > maxKey {
		return answer, consumers.Permanent(fmt.Errorf("idempotency: %.60q: %w", key, ErrKey))
	}
	token := uuid.NewString()
	kept, replayed, err := s.lock(ctx, key, token)
	if err != nil || replayed {
		if err == nil {
			err = json.Unmarshal(kept, &answer)
		}
		return answer, wrap(key, err)
	}
	finished := false
	defer func() { // also when the effect panics
		if !finished {
			s.unlock(ctx, key, token)
		}
	}()
	if answer, err = effect(ctx); err != nil {
		return answer, err
	}
	finished = true
	return answer, wrap(key, s.keep(ctx, key, token, answer))
}

func wrap(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("idempotency: %.200q: %w", key, err)
}

// lock returns the kept answer, or has locked the key.
func (s *Store) lock(ctx context.Context, key, token string) (kept []byte, replayed bool, err error) {
	now := s.cfg.Now()
	until := now.Add(s.cfg.Lock)
	if deadline, ok := ctx.Deadline(); ok {
		until = earlier(until, now.Add(time.Until(deadline)+spare))
	}
	item := s.item(key, token, until)
	_, err = s.cfg.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.cfg.Table, Item: item,
		ConditionExpression:                 aws.String("attribute_not_exists(pk) OR #until <= :now OR #token = :token"), // its own, tried again
		ExpressionAttributeNames:            map[string]string{"#until": attrUntil, "#token": attrToken},
		ExpressionAttributeValues:           dynamo.Item{":now": dynamo.Int(now.UnixMilli()), ":token": item[attrToken]},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if held, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		if answer, done := held.Item[attrAnswer]; done {
			return dynamo.BytesOf(dynamo.Item{attrAnswer: answer}, attrAnswer), true, nil
		}
		return nil, false, consumers.Unavailable(ErrInProgress)
	}
	if err != nil {
		err = consumers.Unavailable(fmt.Errorf("lock it in table %s: %w", s.cfg.Table, err))
	}
	return nil, false, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// keep writes the answer in the place of the lock.
func (s *Store) keep(ctx context.Context, key, token string, answer any) error {
	text, err := json.Marshal(answer)
	if err != nil || len(text) > maxAnswer {
		return consumers.Permanent(fmt.Errorf("the effect happened, and its answer of %d bytes cannot be kept: %w",
			len(text), cmp.Or(err, errors.New("more than 380 KiB"))))
	}
	item := s.item(key, token, s.cfg.Now().Add(s.cfg.Keep))
	item[attrAnswer] = dynamo.Bytes(text)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spare)
	defer cancel()
	_, err = s.cfg.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &s.cfg.Table, Item: item, ConditionExpression: aws.String("#token = :token"),
		ExpressionAttributeNames:  map[string]string{"#token": attrToken},
		ExpressionAttributeValues: dynamo.Item{":token": item[attrToken]},
	})
	if dynamo.IsConditionFailed(err) {
		err = fmt.Errorf("it took longer than the lock of %v, and another call has begun: %w", s.cfg.Lock, err)
	}
	if err != nil {
		return consumers.Unavailable(fmt.Errorf("the effect happened, and its answer could not be kept: %w", err))
	}
	return nil
}

// unlock lets the next call begin at once. Where that fails it waits until the lock ends.
func (s *Store) unlock(ctx context.Context, key, token string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spare)
	defer cancel()
	s.cfg.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{ //nolint:errcheck // see above
		TableName: &s.cfg.Table, Key: dynamo.Key(prefix+key, prefix), ConditionExpression: aws.String("#token = :token"),
		ExpressionAttributeNames:  map[string]string{"#token": attrToken},
		ExpressionAttributeValues: dynamo.Item{":token": dynamo.String(token)},
	})
}

func (s *Store) item(key, token string, until time.Time) dynamo.Item {
	item := dynamo.Key(prefix+key, prefix)
	item[attrToken] = dynamo.String(token)
	item[attrUntil] = dynamo.Int(until.UnixMilli())
	item["expires"] = dynamo.Int(until.Add(time.Hour).Unix())
	return item
}

// Middleware has everything that the handler does happen once for each key: a message whose
// key was handled is stale. nil: the event's id, or what the source identifies the message by.
// A message without a key is refused.
func Middleware(s *Store, key func(consumers.Message) string) consumers.Middleware {
	if key == nil {
		key = func(m consumers.Message) string { return cmp.Or(m.Event.ID, m.ID) }
	}
	return func(next consumers.Handler) consumers.Handler {
		return func(ctx context.Context, m consumers.Message) error {
			had := false
			_, err := Do(ctx, s, key(m), func(ctx context.Context) (struct{}, error) {
				had = true
				err := next(ctx, m)
				if errors.Is(err, consumers.ErrStale) {
					err = nil
				}
				return struct{}{}, err
			})
			if err == nil && !had {
				return consumers.ErrStale
			}
			return err
		}
	}
}
