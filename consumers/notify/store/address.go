package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// ErrOlder is returned by [Store.Register] for an address that was registered later than
// that, by this user or another.
var ErrOlder = errors.New("the address was registered later than that")

const (
	attrUser       = "user"
	attrRegistered = "registered" // in milliseconds
)

// races is how often what others changed meanwhile is read again, and the pauses.
const races = 8

var racePause = backoff.Backoff{Min: 5 * time.Millisecond, Max: 200 * time.Millisecond}

// retryRaced runs f again while it loses a race.
func retryRaced(ctx context.Context, f func() error) error {
	for attempt := 0; ; attempt++ {
		err := f()
		if err == nil || !isRaced(err) || attempt == races {
			return err
		}
		if err := racePause.Wait(ctx, attempt); err != nil {
			return err
		}
	}
}

func addressKey(user string, a channel.Address) dynamo.Item {
	return dynamo.Key(userKey(user), skAddress+a.ID())
}

func tokenKey(a channel.Address) dynamo.Item { return dynamo.Key("token#"+a.ID(), skToken) }

// Register says that a user is reached at an address since a.Registered. A device belongs
// to whoever logged in last: it is taken from the user who had it, while an e-mail address
// may have several. Beyond [MaxAddresses] the one registered first goes. Repeated and
// reordered calls are harmless; one that comes too late is [ErrOlder].
func (s *Store) Register(ctx context.Context, user string, a channel.Address) error {
	err := a.Validate()
	if err == nil && a.Registered.IsZero() {
		err = errors.New("the time of the registration is required")
	}
	if err == nil {
		err = retryRaced(ctx, func() error { return s.register(ctx, user, a) })
	}
	if firstFailed(err) {
		err = ErrOlder
	}
	if err != nil {
		return fmt.Errorf("register an address of user %q: %w", user, err)
	}
	return nil
}

func (s *Store) register(ctx context.Context, user string, a channel.Address) error {
	known, err := s.User(ctx, user)
	if err != nil {
		return err
	}
	at := a.Registered.UnixMilli()
	item, err := itemOf(userKey(user), skAddress+a.ID(), addressItem{a, at})
	if err != nil {
		return err
	}
	writes := []types.TransactWriteItem{s.put(item, condition{
		"attribute_not_exists(pk) OR #registered <= :at", []string{attrRegistered}, dynamo.Item{":at": dynamo.Int(at)},
	})}
	if a.Channel != channel.SES {
		taken, err := s.takeToken(ctx, user, a, at)
		if err != nil {
			return err
		}
		writes = append(writes, taken...)
	}
	if n := len(known.Addresses); n >= MaxAddresses && known.Addresses[n-1].ID() != a.ID() {
		writes = append(writes, s.delete(addressKey(user, known.Addresses[n-1]), condition{}))
	}
	return s.write(ctx, writes...)
}

// addressItem keeps the time in a form that can be compared in conditions.
type addressItem struct {
	channel.Address
	At int64 `dynamodbav:"registered"`
}

func (i addressItem) address() channel.Address {
	i.Address.Registered = time.UnixMilli(i.At).UTC()
	return i.Address
}

// takeToken makes user the owner of a token, as of the owner who is known now.
func (s *Store) takeToken(ctx context.Context, user string, a channel.Address, at int64) ([]types.TransactWriteItem, error) {
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: tokenKey(a), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	owner := tokenKey(a)
	owner[attrUser], owner[attrRegistered] = dynamo.String(user), dynamo.Int(at)
	if len(out.Item) == 0 {
		return []types.TransactWriteItem{s.put(owner, absent)}, nil
	}
	previous := dynamo.StringOf(out.Item, attrUser)
	since, err := dynamo.IntOf(out.Item, attrRegistered)
	if err != nil {
		return nil, err
	}
	if since > at || since == at && previous != user {
		return nil, ErrOlder
	}
	writes := []types.TransactWriteItem{s.put(owner, condition{
		"#user = :user AND #registered = :at", []string{attrUser, attrRegistered},
		dynamo.Item{":user": out.Item[attrUser], ":at": out.Item[attrRegistered]},
	})}
	if previous != user {
		writes = append(writes, s.delete(addressKey(previous, a), condition{}))
	}
	return writes, nil
}

// Prune removes an address of a user that was not registered after since.
func (s *Store) Prune(ctx context.Context, user string, a channel.Address, since time.Time) error {
	err := retryRaced(ctx, func() error {
		return s.write(ctx, s.delete(addressKey(user, a), condition{
			"attribute_not_exists(pk) OR #registered <= :since", []string{attrRegistered}, dynamo.Item{":since": dynamo.Int(since.UnixMilli())},
		}))
	})
	if err == nil || firstFailed(err) { // or it was registered later
		return nil
	}
	return fmt.Errorf("prune an address of user %q: %w", user, err)
}
