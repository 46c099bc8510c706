package dynamodb_test

import (
	"errors"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/dynamodb"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }
func marks(m item) types.AttributeValue { return &types.AttributeValueMemberM{Value: m} }

type fixture struct {
	t      *testing.T
	client *awsdynamodb.Client
	store  *dynamodb.Store
}

func newFixture(t *testing.T) fixture {
	client := userstest.Dynamo(t)
	userstest.Tables(t, client)
	return fixture{t, client, dynamodb.New(client, "", "")}
}

func (f fixture) put(table string, it item) {
	f.t.Helper()
	if _, err := f.client.PutItem(f.t.Context(), &awsdynamodb.PutItemInput{TableName: &table, Item: it}); err != nil {
		f.t.Fatal(err)
	}
}

func (f fixture) get(id string) item {
	f.t.Helper()
	table := "users"
	out, err := f.client.GetItem(f.t.Context(), &awsdynamodb.GetItemInput{TableName: &table, Key: item{"id": str(id)}})
	if err != nil {
		f.t.Fatal(err)
	}
	return out.Item
}

func TestConformance(t *testing.T) { userstest.Run(t, newFixture(t).store) }

// What the migration wrote reads like what the service wrote, and keeps what only
// the migration knows when the service changes it.
func TestMigratedItems(t *testing.T) {
	f := newFixture(t)
	id := userstest.User(1).ID
	f.put("users", item{
		"id": str(id), "name": str("Ned"), "email": str("ned@x.y"), "password": str("hash"), "age": num("3"),
		"_banyan": marks(item{"t": num("77"), "h": marks(item{"age": str("int32")})}),
	})
	f.put("users-unique", item{"value": str("email#ned@x.y"), "owner": str(id), "_banyan": marks(item{"t": num("77")})})
	want := users.User{ID: id, Name: "Ned", Email: "ned@x.y", PasswordHash: "hash", CreatedAt: time.Unix(0x59b99db4, 0).UTC()}
	if got, err := f.store.ByEmail(t.Context(), "ned@x.y"); err != nil || got != want {
		t.Fatalf("ByEmail = %+v, %v; want %+v", got, err, want)
	}
	zero, name := int64(0), "Eddard"
	got, err := f.store.Update(t.Context(), 2, id, users.Change{Name: &name, IfVersion: &zero})
	if err != nil || got.Version != 1 || got.Name != name {
		t.Fatalf("Update = %+v, %v", got, err)
	}
	raw := f.get(id)
	kept := raw["_banyan"].(*types.AttributeValueMemberM).Value
	if kept["t"] == nil || kept["h"] == nil || raw["age"] == nil {
		t.Errorf("the change lost what the migration wrote: %v", raw)
	}
	if e, _ := kept["e"].(*types.AttributeValueMemberN); e == nil || e.Value != "2" {
		t.Errorf("the epoch on the item is %v, want 2", kept["e"])
	}
}

func TestTombstones(t *testing.T) {
	f := newFixture(t)
	u := userstest.User(2)
	dead := marks(item{"t": num("1"), "d": &types.AttributeValueMemberBOOL{Value: true}})
	f.put("users", item{"id": str(u.ID), "_banyan": dead})
	f.put("users-unique", item{"value": str("email#" + u.Email), "owner": str(u.ID), "_banyan": dead})
	if _, err := f.store.Get(t.Context(), u.ID); !errors.Is(err, users.ErrNotFound) {
		t.Errorf("Get of a tombstone: %v", err)
	}
	if _, err := f.store.ByEmail(t.Context(), u.Email); !errors.Is(err, users.ErrNotFound) {
		t.Errorf("ByEmail of a tombstone: %v", err)
	}
	if page, _, err := f.store.List(t.Context(), users.Cursor{}, 10); err != nil || len(page) != 0 {
		t.Errorf("List = %v, %v", page, err)
	}
	if _, created, err := f.store.Create(t.Context(), 2, u); err != nil || !created {
		t.Errorf("Create over a tombstone = %v, %v", created, err)
	}
}

// A service instance that slept through a change of owner is refused by the item.
func TestOlderEpochIsFenced(t *testing.T) {
	f := newFixture(t)
	u := userstest.User(3)
	if _, _, err := f.store.Create(t.Context(), 4, u); err != nil {
		t.Fatal(err)
	}
	name := "late"
	if _, err := f.store.Update(t.Context(), 3, u.ID, users.Change{Name: &name}); !errors.Is(err, ownership.ErrFenced) {
		t.Errorf("an update with an older epoch: %v, want ErrFenced", err)
	}
	if _, _, err := f.store.Create(t.Context(), 3, u); !errors.Is(err, ownership.ErrFenced) {
		t.Errorf("a create with an older epoch: %v, want ErrFenced", err)
	}
}

// A listing that began in the order of ids goes on with the ids behind the last.
func TestListContinuesFromMongoDB(t *testing.T) {
	f := newFixture(t)
	for n := range 20 {
		if _, _, err := f.store.Create(t.Context(), 1, userstest.User(n)); err != nil {
			t.Fatal(err)
		}
	}
	seen := 0
	for from, more := (users.Cursor{After: userstest.User(12).ID}), true; more; {
		page, next, err := f.store.List(t.Context(), from, 4)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page {
			if u.ID <= userstest.User(12).ID {
				t.Errorf("%s was listed before", u.ID)
			}
			seen++
		}
		from, more = next, next != users.Cursor{}
	}
	if seen != 7 {
		t.Errorf("%d users behind number 12 of 20, want 7", seen)
	}
}
