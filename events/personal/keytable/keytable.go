// Package keytable keeps the keys of package personal in a DynamoDB table, one item a
// subject, wrapped by a KMS key where one is configured (see [KMS]).
//
// The first use of a subject writes its key, on condition that it has none: of several
// processes that do so at the same time one wins, and all use its key. [Table.Erase] removes
// the key and leaves the item, which says that the subject was erased, so that no later
// event gives it another.
//
// # Backups
//
// A backup of this table, point-in-time recovery included, keeps erased keys for as long as
// it lasts; restoring one brings them back: erase those subjects again that were erased
// since. Without any backup, losing the table makes every personal member
// unreadable. Choose the shorter of what the law allows and what you can do without; KMS does
// not help here, since its key wraps them all.
package keytable

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/banyan-fig/banyan/events/personal"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// API is what a Table needs of *dynamodb.Client.
type API interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	UpdateItem(context.Context, *dynamodb.UpdateItemInput, ...func(*dynamodb.Options)) (*dynamodb.UpdateItemOutput, error)
}

// Wrapper encrypts keys before they are stored. The same subject must be given to both.
type Wrapper interface {
	Wrap(ctx context.Context, subject string, key []byte) ([]byte, error)
	Unwrap(ctx context.Context, subject string, wrapped []byte) ([]byte, error)
}

// Defaults of [Config].
const (
	DefaultMaxAge    = time.Minute
	DefaultMaxCached = 10_000
)

// Config of a Table. Client and Name are required.
type Config struct {
	Client API
	Name   string // of the table, see [Input]
	// Wrapper wraps the keys that are made. nil: they are stored as they are. Those that were
	// stored before stay readable.
	Wrapper Wrapper
	// MaxAge is how long a key is used without asking the table again, and so how long after
	// an erasure this process may still use it. 0: 1 min.
	MaxAge time.Duration
	// MaxCached is how many subjects are cached. 0: 10,000, about 10 MB.
	MaxCached int
	// Now is the clock. nil: time.Now.
	Now func() time.Time
}

// Input defines the table of that name, paid by request.
func Input(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:            &name,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(attrSubject), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(attrSubject), KeyType: types.KeyTypeHash}},
	}
}

// The attributes of an item.
const (
	attrSubject = "subject"
	attrKey     = "secret"     // absent once the subject is erased
	attrWrapped = "is_wrapped" // by the Wrapper
	attrMade    = "made_at"    // RFC 3339
	attrErased  = "erased_at"  // RFC 3339
)

// Table is the keys of a table. Safe for concurrent use.
type Table struct {
	cfg   Config
	cache *lru.Cache[string, cached]
}

var _ personal.Keys = (*Table)(nil)

// cached is a key, or that its subject is erased.
type cached struct {
	key   personal.Key
	err   error
	until time.Time
}

// New makes a Table, or returns what is wrong with cfg. It sends nothing.
func New(cfg Config) (*Table, error) {
	if cfg.Client == nil || cfg.Name == "" || cfg.MaxAge < 0 || cfg.MaxCached < 0 {
		return nil, errors.New("personal/keytable: config: Client and Name are required, and MaxAge and MaxCached cannot be negative")
	}
	cfg.MaxAge = cmp.Or(cfg.MaxAge, DefaultMaxAge)
	cfg.MaxCached = cmp.Or(cfg.MaxCached, DefaultMaxCached)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	cache, err := lru.New[string, cached](cfg.MaxCached)
	return &Table{cfg, cache}, err
}

// Make implements personal.Keys, with one read, and one write for a subject's first key,
// unless the key is cached.
func (t *Table) Make(ctx context.Context, subject string) (personal.Key, error) {
	key, err := t.Find(ctx, subject)
	if !errors.Is(err, personal.ErrNoKey) {
		return key, err
	}
	if err := t.create(ctx, subject); err != nil && !dynamo.IsConditionFailed(err) {
		return key, t.failed("make the key", subject, err)
	}
	return t.Find(ctx, subject) // whoever made it
}

func (t *Table) create(ctx context.Context, subject string) error {
	secret := make([]byte, personal.KeySize)
	_, _ = rand.Read(secret) // never fails
	item := dynamo.Item{attrSubject: dynamo.String(subject), attrMade: t.now()}
	if t.cfg.Wrapper != nil {
		wrapped, err := t.cfg.Wrapper.Wrap(ctx, subject, secret)
		if err != nil {
			return err
		}
		secret, item[attrWrapped] = wrapped, dynamo.Bool(true)
	}
	item[attrKey] = dynamo.Bytes(secret)
	_, err := t.cfg.Client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &t.cfg.Name, Item: item, ConditionExpression: aws.String("attribute_not_exists(" + attrSubject + ")"),
	})
	return err
}

// Find implements personal.Keys, with one read unless the key is cached.
func (t *Table) Find(ctx context.Context, subject string) (personal.Key, error) {
	asked := t.cfg.Now()
	if c, ok := t.cache.Get(subject); ok && asked.Before(c.until) {
		return c.key, c.err
	}
	item, err := t.read(ctx, subject)
	var key personal.Key
	if err == nil {
		key, err = t.keyOf(ctx, subject, item)
	}
	if err == nil || errors.Is(err, personal.ErrErased) {
		t.cache.Add(subject, cached{key, err, asked.Add(t.cfg.MaxAge)})
		return key, err
	}
	t.cache.Remove(subject)
	return key, t.failed("read the key", subject, err)
}

func (t *Table) read(ctx context.Context, subject string) (dynamo.Item, error) {
	out, err := t.cfg.Client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &t.cfg.Name, Key: dynamo.Item{attrSubject: dynamo.String(subject)}, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

func (t *Table) keyOf(ctx context.Context, subject string, item dynamo.Item) (key personal.Key, err error) {
	secret := dynamo.BytesOf(item, attrKey)
	switch {
	case dynamo.StringOf(item, attrErased) != "":
		return key, personal.ErrErased
	case item == nil:
		return key, personal.ErrNoKey
	case dynamo.BoolOf(item, attrWrapped) && t.cfg.Wrapper == nil:
		return key, errors.New("it is wrapped, and no KMS key is configured to unwrap it")
	case dynamo.BoolOf(item, attrWrapped):
		if secret, err = t.cfg.Wrapper.Unwrap(ctx, subject, secret); err != nil {
			return key, err
		}
	}
	return personal.NewKey(secret)
}

// Erase throws the key of a subject away, for ever, and reads the item again to be sure of it.
// It may be repeated. Other processes may use the key for MaxAge more. had says whether
// there was a key until now.
func (t *Table) Erase(ctx context.Context, subject string) (had bool, err error) {
	out, err := t.cfg.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &t.cfg.Name, Key: dynamo.Item{attrSubject: dynamo.String(subject)},
		UpdateExpression:          aws.String("SET " + attrErased + " = if_not_exists(" + attrErased + ", :now) REMOVE " + attrKey + ", " + attrWrapped),
		ExpressionAttributeValues: dynamo.Item{":now": t.now()},
		ReturnValues:              types.ReturnValueAllOld,
	})
	t.cache.Remove(subject)
	if err != nil {
		return false, t.failed("erase the key", subject, err)
	}
	s, err := t.Status(ctx, subject)
	if err == nil && s != Erased {
		err = t.failed("erase the key", subject, fmt.Errorf("it is %v after it was erased", s))
	}
	return out.Attributes[attrKey] != nil, err
}

// Status of a subject in the table.
type Status string

// The statuses.
const (
	NoKey  Status = "without a key" // no event about the subject was sealed
	HasKey Status = "with a key"
	Erased Status = "erased"
)

// Status asks the table, not the cache.
func (t *Table) Status(ctx context.Context, subject string) (Status, error) {
	item, err := t.read(ctx, subject)
	switch {
	case err != nil:
		return "", t.failed("read the key", subject, err)
	case dynamo.BytesOf(item, attrKey) != nil:
		return HasKey, nil
	case item == nil:
		return NoKey, nil
	}
	return Erased, nil
}

func (t *Table) now() types.AttributeValue {
	return dynamo.String(t.cfg.Now().UTC().Format(time.RFC3339))
}

func (t *Table) failed(what, subject string, err error) error {
	return fmt.Errorf("personal/keytable: %s of subject %.200q in table %q: %w", what, subject, t.cfg.Name, err)
}
