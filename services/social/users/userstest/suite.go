// Package userstest is the suite that every users.Store must pass.
package userstest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/services/social/users"
)

// epoch under which the suite writes.
const epoch = 7

// Run checks an empty store.
func Run(t *testing.T, store users.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s := suite{ctx, store}
	for name, check := range map[string]func(*testing.T){
		"create and get":        s.createAndGet,
		"create again":          s.createAgain,
		"create a clash":        s.createClash,
		"update":                s.update,
		"update a version":      s.updateVersion,
		"update what is absent": s.updateAbsent,
		"get many":              s.getMany,
		"by e-mail":             s.byEmail,
		"concurrent updates":    s.concurrentUpdates,
		"concurrent creates":    s.concurrentCreates,
	} {
		t.Run(name, check)
	}
	t.Run("list", s.list)
}

type suite struct {
	ctx   context.Context
	store users.Store
}

// User is a valid user made from a number.
func User(n int) users.User {
	return users.User{
		ID: fmt.Sprintf("59b99db4cfa9a34d%08x", n), Name: fmt.Sprint("Name ", n), Email: fmt.Sprintf("user%d@example.org", n),
		PasswordHash: "hash", Version: 1, CreatedAt: time.Date(2020, 1, 2, 3, 4, 5, 6e6, time.UTC),
	}
}

func (s suite) create(t *testing.T, n int) users.User {
	t.Helper()
	u := User(n)
	stored, created, err := s.store.Create(s.ctx, epoch, u)
	if err != nil || !created {
		t.Fatalf("Create(%s) = %v, %v; want it created", u.ID, created, err)
	}
	same(t, stored, u)
	return u
}

func same(t *testing.T, got, want users.User) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("another user than expected (-want +got):\n%s", d)
	}
}

func is(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("error = %v, want %v", got, want)
	}
}

func (s suite) createAndGet(t *testing.T) {
	plain := s.create(t, 100)
	full := User(101)
	full.Bio = "a bio with ünïcode"
	if _, _, err := s.store.Create(s.ctx, epoch, full); err != nil {
		t.Fatal(err)
	}
	for _, want := range []users.User{plain, full} {
		got, err := s.store.Get(s.ctx, want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
	_, err := s.store.Get(s.ctx, User(199).ID)
	is(t, err, users.ErrNotFound)
}

func (s suite) createAgain(t *testing.T) {
	first := s.create(t, 200)
	again := first
	again.Name, again.PasswordHash = "another name", "another hash"
	stored, created, err := s.store.Create(s.ctx, epoch, again)
	if err != nil || created {
		t.Fatalf("Create again = %v, %v; want not created and no error", created, err)
	}
	same(t, stored, first)
}

func (s suite) createClash(t *testing.T) {
	first := s.create(t, 300)
	sameID := User(300)
	sameID.Email = "else@example.org"
	_, _, err := s.store.Create(s.ctx, epoch, sameID)
	is(t, err, users.ErrIDTaken)
	sameEmail := User(301)
	sameEmail.Email = first.Email
	_, _, err = s.store.Create(s.ctx, epoch, sameEmail)
	is(t, err, users.ErrEmailTaken)
	_, err = s.store.Get(s.ctx, sameEmail.ID)
	is(t, err, users.ErrNotFound)
	_, err = s.store.ByEmail(s.ctx, sameID.Email)
	is(t, err, users.ErrNotFound)
}

func ptr[V any](v V) *V { return &v }

func (s suite) update(t *testing.T) {
	u := s.create(t, 400)
	u.Bio, u.Version = "now with a bio", 2
	got, err := s.store.Update(s.ctx, epoch, u.ID, users.Change{Bio: ptr(u.Bio)})
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, u)
	u.Name, u.Bio, u.Version = "renamed", "", 3
	if _, err = s.store.Update(s.ctx, epoch, u.ID, users.Change{Name: &u.Name, Bio: &u.Bio}); err != nil {
		t.Fatal(err)
	}
	got, err = s.store.Get(s.ctx, u.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, u)
}

func (s suite) updateVersion(t *testing.T) {
	u := s.create(t, 500)
	change := users.Change{Name: ptr("second"), IfVersion: ptr(int64(1))}
	got, err := s.store.Update(s.ctx, epoch, u.ID, change)
	if err != nil || got.Version != 2 {
		t.Fatalf("Update = version %d, %v; want 2", got.Version, err)
	}
	again, err := s.store.Update(s.ctx, epoch, u.ID, change)
	if err != nil {
		t.Errorf("the same change repeated: %v; want it to count as done", err)
	}
	same(t, again, got)
	_, err = s.store.Update(s.ctx, epoch, u.ID, users.Change{Name: ptr("other"), IfVersion: ptr(int64(1))})
	is(t, err, users.ErrVersion)
	_, err = s.store.Update(s.ctx, epoch, u.ID, users.Change{Name: ptr("other"), IfVersion: ptr(int64(0))})
	is(t, err, users.ErrVersion)
	_, err = s.store.Update(s.ctx, epoch, u.ID, users.Change{Name: ptr("other"), IfVersion: ptr(int64(3))})
	is(t, err, users.ErrVersion)
}

func (s suite) updateAbsent(t *testing.T) {
	_, err := s.store.Update(s.ctx, epoch, User(599).ID, users.Change{Name: ptr("x")})
	is(t, err, users.ErrNotFound)
	_, err = s.store.Update(s.ctx, epoch, User(599).ID, users.Change{Name: ptr("x"), IfVersion: ptr(int64(1))})
	is(t, err, users.ErrNotFound)
}

func (s suite) getMany(t *testing.T) {
	a, b := s.create(t, 600), s.create(t, 601)
	found, err := s.store.GetMany(s.ctx, []string{b.ID, User(699).ID, a.ID})
	if err != nil || len(found) != 2 {
		t.Fatalf("GetMany = %d users, %v; want 2", len(found), err)
	}
	if none, err := s.store.GetMany(s.ctx, nil); err != nil || len(none) != 0 {
		t.Errorf("GetMany of nobody = %v, %v", none, err)
	}
}

func (s suite) byEmail(t *testing.T) {
	u := s.create(t, 700)
	got, err := s.store.ByEmail(s.ctx, u.Email)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, u)
	for _, email := range []string{"", "nobody@example.org", "USER700@example.org"} {
		_, err = s.store.ByEmail(s.ctx, email)
		is(t, err, users.ErrNotFound)
	}
}

func (s suite) concurrentUpdates(t *testing.T) {
	u := s.create(t, 800)
	var all sync.WaitGroup
	const writers = 5
	for i := range writers {
		all.Go(func() {
			if _, err := s.store.Update(s.ctx, epoch, u.ID, users.Change{Name: ptr(fmt.Sprint("writer ", i))}); err != nil {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	all.Wait()
	got, err := s.store.Get(s.ctx, u.ID)
	if err != nil || got.Version != 1+writers {
		t.Errorf("after %d updates of version 1: version %d, %v", writers, got.Version, err)
	}
}

func (s suite) concurrentCreates(t *testing.T) {
	var all sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range 5 {
		all.Go(func() {
			u := User(900 + i)
			u.Email = "wanted@example.org"
			_, created, err := s.store.Create(s.ctx, epoch, u)
			if err != nil && !errors.Is(err, users.ErrEmailTaken) {
				t.Errorf("create %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if created {
				won++
			}
		})
	}
	all.Wait()
	if won != 1 {
		t.Errorf("%d users got the same e-mail, want 1", won)
	}
}

// list runs last: it sees all users of the suite, once each, however small the
// pages are.
func (s suite) list(t *testing.T) {
	want, _, err := s.store.List(s.ctx, users.Cursor{}, 500)
	if err != nil || len(want) < 10 {
		t.Fatalf("List = %d users, %v", len(want), err)
	}
	seen := map[string]bool{}
	for from, more := (users.Cursor{}), true; more; {
		page, next, err := s.store.List(s.ctx, from, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range page {
			if seen[u.ID] {
				t.Errorf("user %s is listed twice", u.ID)
			}
			seen[u.ID] = true
		}
		from, more = next, next != users.Cursor{}
	}
	if len(seen) != len(want) {
		t.Errorf("%d users in small pages, %d in a large one", len(seen), len(want))
	}
}
