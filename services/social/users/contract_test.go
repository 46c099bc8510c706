package users_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/migrate/ownership/ownertest"
	"github.com/banyan-fig/banyan/services/entity"
	"github.com/banyan-fig/banyan/services/social/users"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

// owner is the service's store as the kit uses it: the value is a user's name. Each call is
// another instance's, as one of them may be stopped in the middle.
type owner func() entity.Typed[users.User]

func (store owner) Create(ctx context.Context, g ownership.Grant, id, value string) error {
	u := userstest.User(1)
	u.ID, u.Name, u.Email = id, value, id+"@example.org"
	_, err := store().Create(userstest.Under(ctx, g), u)
	return err
}

func (store owner) Update(ctx context.Context, g ownership.Grant, id, value string) error {
	_, err := store().Update(userstest.Under(ctx, g), userstest.ID(id), func(u *users.User) error { u.Name = value; return nil })
	return err
}

func (store owner) Get(ctx context.Context, g ownership.Grant, id string) (string, bool, error) {
	u, err := store().Get(userstest.Under(ctx, g), userstest.ID(id))
	if errors.Is(err, entity.ErrNotFound) {
		return "", false, nil
	}
	return u.Value.Name, err == nil, err
}

// TestOwnerContract: the service keeps what the migration needs of an owner.
func TestOwnerContract(t *testing.T) {
	ownertest.Run(t, ownertest.Config{Plan: userstest.Plan(t), Open: func(t testing.TB, db *mongo.Database, tables *awsdynamodb.Client) ownertest.Owner {
		return owner(func() entity.Typed[users.User] { return userstest.Store(t, db, tables) })
	}})
}

// TestMissingRightsStopAMoveBeforeItBegins: the service says which privilege its user
// lacks under the next name, and goes on writing under the present one.
func TestMissingRightsStopAMoveBeforeItBegins(t *testing.T) {
	db, tables, stream := userstest.Mongo(t), userstest.Dynamo(t), userstest.NewStream(t)
	hello := db.RunCommand(t.Context(), bson.D{{Key: "hello", Value: 1}})
	var server struct{ Me string }
	if err := hello.Decode(&server); err != nil {
		t.Fatal(err)
	}
	uri := ownertest.StartProxy(t, server.Me, ownertest.WithoutPrivilege("update", "users__banyan_g1"))
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	at := userstest.NewInstance(t, client.Database(db.Name()), tables, stream.Publisher)
	r, err := at.Control.Load(t.Context(), "users")
	if err == nil {
		r, err = at.Control.Update(t.Context(), r, func(r *ownership.Record) {
			r.Generation, r.Move = 1, &ownership.Move{From: "users", To: "users__banyan_g1"}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	err = at.Control.AwaitAck(t.Context(), "users", r.Revision)
	if want := "lacks the privilege update on legacy.users__banyan_g1"; !errors.Is(err, ownership.ErrProbeFailed) || !strings.Contains(err.Error(), want) {
		t.Errorf("AwaitAck = %v, want %q in it", err, want)
	}
	req := httptest.NewRequestWithContext(t.Context(), "PUT", "/v1/users/"+ned, strings.NewReader(nedBody))
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	if at.Handler.ServeHTTP(rec, req); rec.Code != 201 {
		t.Errorf("a write meanwhile: %d %s", rec.Code, rec.Body)
	}
}
