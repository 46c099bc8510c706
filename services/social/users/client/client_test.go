package client_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/banyan-fig/banyan/services/social/users/client"
	"github.com/banyan-fig/banyan/services/social/users/userstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newClient(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// TestAgainstTheService goes through all calls over the wire.
func TestAgainstTheService(t *testing.T) {
	at := userstest.NewInstance(t, userstest.Mongo(t), userstest.Dynamo(t), userstest.NewStream(t).Publisher)
	c := newClient(t, client.Config{BaseURL: at.URL})
	ctx := t.Context()
	when := time.Date(2020, 1, 2, 3, 4, 5, 6e6, time.UTC)
	ann := client.NewUser{ID: client.NewID(when), Name: "Ann", Email: "ann@x.y", Password: "pw", CreatedAt: &when}
	w, err := c.Create(ctx, ann)
	if err != nil || !w.Created || w.Position.Sequence == "" || !w.User.CreatedAt.Equal(when) {
		t.Fatalf("Create = %+v, %v", w, err)
	}
	if again, err := c.Create(ctx, ann); err != nil || again.Created || !w.Position.Before(again.Position) {
		t.Errorf("Create again = %+v, %v", again, err)
	}
	clash := ann
	clash.ID = client.NewID(when)
	if _, err := c.Create(ctx, clash); !errors.Is(err, client.ErrEmailTaken) || !errors.Is(err, client.ErrConflict) {
		t.Errorf("Create with the same e-mail = %v", err)
	}
	clash = ann
	clash.Email = "else@x.y"
	if _, err := c.Create(ctx, clash); !errors.Is(err, client.ErrIDTaken) {
		t.Errorf("Create with the same id = %v", err)
	}
	if _, err := c.Create(ctx, client.NewUser{ID: ann.ID}); !errors.Is(err, client.ErrInvalid) || !strings.Contains(err.Error(), "name") {
		t.Errorf("Create of nothing = %v", err)
	}
	bio, version := "hello", int64(1)
	if w, err = c.Update(ctx, ann.ID, client.Change{Bio: &bio, IfVersion: &version}); err != nil || w.User.Bio != bio || w.User.Version != 2 {
		t.Errorf("Update = %+v, %v", w, err)
	}
	bio = "other"
	if _, err = c.Update(ctx, ann.ID, client.Change{Bio: &bio, IfVersion: &version}); !errors.Is(err, client.ErrVersion) {
		t.Errorf("Update of a former version = %v", err)
	}
	nobody := client.NewID(when)
	if _, err := c.Get(ctx, nobody); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("Get of nobody = %v", err)
	}
	ids := []string{ann.ID}
	for range 150 {
		ids = append(ids, client.NewID(when))
	}
	if found, err := c.GetMany(ctx, ids); err != nil || len(found) != 1 || found[ann.ID].Bio != "hello" {
		t.Errorf("GetMany = %v, %v", found, err)
	}
	if page, err := c.List(ctx, "", 10); err != nil || len(page.Users) != 1 || page.Next != "" {
		t.Errorf("List = %+v, %v", page, err)
	}
	if u, err := c.Authenticate(ctx, "ann@x.y", "pw"); err != nil || u.ID != ann.ID {
		t.Errorf("Authenticate = %+v, %v", u, err)
	}
	if _, err := c.Authenticate(ctx, "ann@x.y", "no"); !errors.Is(err, client.ErrCredentials) {
		t.Errorf("Authenticate wrongly = %v", err)
	}
}
