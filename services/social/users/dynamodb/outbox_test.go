package dynamodb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/publishers/outboxtable"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/dynamodb"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

var errRefused = errors.New("refused")

// withOutbox is a fixture whose store keeps events, and forgets at once.
func withOutbox(t *testing.T) fixture {
	f := newFixture(t)
	if err := outboxtable.Ensure(t.Context(), f.client, dynamodb.DefaultOutboxTable); err != nil {
		t.Fatal(err)
	}
	f.store = f.store.WithOutbox(dynamodb.Outbox{Table: dynamodb.DefaultOutboxTable, Forget: func(e outboxtable.Entry) {
		_, err := f.client.DeleteItem(context.WithoutCancel(t.Context()), &awsdynamodb.DeleteItemInput{
			TableName: aws.String(dynamodb.DefaultOutboxTable), Key: item{"pk": str(e.PartitionKey), "sk": str(e.SortKey)},
		})
		if err != nil {
			t.Error(err)
		}
	}})
	return f
}

// kept lists the sort keys of the outbox of a user, and its events.
func (f fixture) kept(id string) (keys []string, told []events.Event) {
	f.t.Helper()
	out, err := f.client.Query(f.t.Context(), &awsdynamodb.QueryInput{
		TableName: aws.String(dynamodb.DefaultOutboxTable), ConsistentRead: aws.Bool(true),
		KeyConditionExpression: aws.String("pk = :k"), ExpressionAttributeValues: item{":k": str(id)},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, i := range out.Items {
		keys = append(keys, i["sk"].(*types.AttributeValueMemberS).Value)
		for _, v := range i["events"].(*types.AttributeValueMemberL).Value {
			e, err := events.Decode(v.(*types.AttributeValueMemberB).Value)
			if err != nil {
				f.t.Fatal(err)
			}
			told = append(told, e)
		}
	}
	return keys, told
}

// version makes the events of a version: one that names it, in twice if asked.
func version(times int) users.MakeEvents {
	return func(u users.User) (told []events.Event, err error) {
		for range times {
			e, err := events.New(context.Background(), "/test", social.UserProfileUpdated{UserID: u.ID, Name: u.Name, Bio: u.Bio, Version: u.Version})
			if err != nil {
				return nil, err
			}
			told = append(told, e)
		}
		return told, nil
	}
}

// teller drives the suite through the methods that keep events.
type teller struct{ *dynamodb.Store }

func (s teller) Create(ctx context.Context, epoch int64, u users.User) (users.User, bool, error) {
	stored, created, kept, err := s.CreateWithEvents(ctx, epoch, u, version(2))
	if err == nil && created != (len(kept.Events) == 2) {
		return stored, created, fmt.Errorf("created %v, and kept %d events", created, len(kept.Events))
	}
	if kept.Acknowledge != nil {
		kept.Acknowledge()
	}
	return stored, created, err
}

func (s teller) Update(ctx context.Context, epoch int64, id string, c users.Change) (users.User, error) {
	u, kept, err := s.UpdateWithEvents(ctx, epoch, id, c, version(1))
	if kept.Acknowledge != nil {
		kept.Acknowledge()
	}
	return u, err
}

func TestConformanceWithOutbox(t *testing.T) { userstest.Run(t, teller{withOutbox(t).store}) }

// The events are there exactly when the write is, and are what it wrote.
func TestEventsAreCommittedWithTheWrite(t *testing.T) {
	f := withOutbox(t)
	u := userstest.User(1)
	_, _, kept, err := f.store.CreateWithEvents(t.Context(), 2, u, version(2))
	if err != nil || len(kept.Events) != 2 {
		t.Fatalf("CreateWithEvents = %+v, %v", kept, err)
	}
	name, one := "second", int64(1)
	changed, second, err := f.store.UpdateWithEvents(t.Context(), 2, u.ID, users.Change{Name: &name, IfVersion: &one}, version(1))
	if err != nil || changed.Version != 2 || changed.Name != name || len(second.Events) != 1 {
		t.Fatalf("UpdateWithEvents = %+v, %+v, %v", changed, second, err)
	}
	if stored, err := f.store.Get(t.Context(), u.ID); err != nil || stored != changed {
		t.Errorf("stored: %+v, %v; told: %+v", stored, err, changed)
	}
	keys, told := f.kept(u.ID)
	if len(keys) != 2 || keys[0] != "00000000000000000001."+kept.Events[0].ID || keys[1] != "00000000000000000002."+second.Events[0].ID {
		t.Errorf("items: %v", keys)
	}
	if len(told) != 3 || told[0].ID != kept.Events[0].ID || told[1].ID != kept.Events[1].ID || told[2].ID != second.Events[0].ID {
		t.Errorf("kept: %+v", told)
	}
	kept.Acknowledge()
	second.Acknowledge()
	if keys, _ := f.kept(u.ID); len(keys) != 0 {
		t.Errorf("left after both were forgotten: %v", keys)
	}
}

// A write that is refused, or was made before, leaves nothing in the outbox.
func TestARefusedWriteLeavesNoEvent(t *testing.T) {
	f := withOutbox(t)
	u, taken := userstest.User(1), userstest.User(2)
	if _, _, err := f.store.Create(t.Context(), 4, u); err != nil {
		t.Fatal(err)
	}
	taken.Email = u.Email
	name, zero, one := "x", int64(0), int64(1)
	fails := func(tell users.MakeEvents) error {
		_, _, err := f.store.UpdateWithEvents(t.Context(), 4, u.ID, users.Change{Name: &name}, tell)
		return err
	}
	refuse := func(users.User) ([]events.Event, error) { return nil, errRefused }
	_, _, _, taking := f.store.CreateWithEvents(t.Context(), 4, taken, version(1))
	_, _, fenced := f.store.UpdateWithEvents(t.Context(), 3, u.ID, users.Change{Name: &name}, version(1))
	_, _, stale := f.store.UpdateWithEvents(t.Context(), 4, u.ID, users.Change{Name: &name, IfVersion: &zero}, version(1))
	for what, c := range map[string]struct{ err, want error }{
		"an e-mail that is taken": {taking, users.ErrEmailTaken}, "an older epoch": {fenced, ownership.ErrFenced},
		"an older version": {stale, users.ErrVersion}, "events that cannot be made": {fails(refuse), errRefused},
		"no events at all": {fails(func(users.User) ([]events.Event, error) { return nil, nil }), nil},
	} {
		if c.err == nil || c.want != nil && !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", what, c.err, c.want)
		}
	}
	if _, created, kept, err := f.store.CreateWithEvents(t.Context(), 4, u, version(1)); err != nil || created || len(kept.Events) > 0 || kept.Acknowledge != nil {
		t.Errorf("a repeated create: %v, %+v, %v", created, kept, err)
	}
	if _, err := f.store.Update(t.Context(), 4, u.ID, users.Change{Name: &name, IfVersion: &one}); err != nil {
		t.Fatal(err)
	}
	if _, kept, err := f.store.UpdateWithEvents(t.Context(), 4, u.ID, users.Change{Name: &name, IfVersion: &one}, version(1)); err != nil || len(kept.Events) > 0 {
		t.Errorf("a repeated change: %+v, %v", kept, err)
	}
	for _, id := range []string{u.ID, taken.ID} {
		if keys, _ := f.kept(id); len(keys) != 0 {
			t.Errorf("left of user %s: %v", id, keys)
		}
	}
}

// Of many who change one user at once, each version is told, once.
func TestEachVersionIsPublishedOnce(t *testing.T) {
	f := withOutbox(t)
	u := userstest.User(1)
	if _, _, err := f.store.Create(t.Context(), 2, u); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	const writers = 6
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			bio := fmt.Sprint("of writer ", i)
			if _, _, err := f.store.UpdateWithEvents(ctx, 2, u.ID, users.Change{Bio: &bio}, version(1)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	_, told := f.kept(u.ID)
	if len(told) != writers {
		t.Errorf("%d events of %d writes", len(told), writers)
	}
	for i, e := range told {
		p, err := social.Registry().Decode(e)
		if err != nil || p.(social.UserProfileUpdated).Version != int64(i+2) {
			t.Errorf("event %d: %+v, %v", i, p, err)
		}
	}
}
