package users

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"golang.org/x/crypto/bcrypt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/services/entity"
)

// source is that of the events.
const source = "/services/users"

// hashesAtOnce bounds how many passwords are hashed or compared at a time, as each keeps a core busy.
const hashesAtOnce = 4

// Service is the domain of users. It is safe for concurrent use.
type Service struct {
	users     entity.Typed[User]
	cost      int
	hashing   chan struct{}
	dummyHash []byte // compared if there is no user, so that the response time reveals nothing
}

// New makes a Service over a store of users. New passwords are hashed with bcrypt's cost, 4 to 31.
func New(store *entity.Store, cost int) (*Service, error) {
	dummyHash, err := bcrypt.GenerateFromPassword([]byte("no user has this password"), cost)
	if err != nil {
		return nil, fmt.Errorf("users service: hash the dummy password: %w", err)
	}
	return &Service{entity.Of[User](store), cost, make(chan struct{}, hashesAtOnce), dummyHash}, nil
}

// Create stores a user under the id that the client chose, and publishes user.joined. Repeating
// it is harmless. entity.ErrInvalid, ErrExists, ErrTaken, ErrNotPublished.
func (s *Service) Create(ctx context.Context, n NewUser) (entity.Outcome[User], error) {
	if err := n.Validate(); err != nil {
		return entity.Outcome[User]{}, err
	}
	hash, err := s.hash(ctx, n.Password)
	if err != nil {
		return entity.Outcome[User]{}, err
	}
	if n.CreatedAt.IsZero() {
		n.CreatedAt = time.Now()
	}
	u := User{ID: n.ID, Name: n.Name, Email: n.Email, Bio: n.Bio, PasswordHash: hash, CreatedAt: n.CreatedAt.UTC().Truncate(time.Millisecond)}
	id, _ := objectID(n.ID) // which is valid
	tell := s.telling(func(u User) []events.Payload {
		facts := []events.Payload{social.UserJoined{UserID: u.ID, Name: u.Name, JoinedAt: u.CreatedAt}}
		if u.Bio != "" || u.Version > 1 { // found by a repeated create, it may have changed since
			facts = append(facts, profileUpdated(u))
		}
		return facts
	})
	for {
		w, err := s.users.Create(ctx, u, tell)
		if !errors.Is(err, entity.ErrExists) || w.Value.Email != u.Email {
			return w, err
		}
		w, err = s.users.Update(ctx, id, func(*User) error { return entity.ErrUnchanged }, tell)
		if !errors.Is(err, entity.ErrNotFound) {
			return w, err
		}
	}
}

// Update changes a user and publishes user.profile-updated. A change that is done already is
// repeated. entity.ErrInvalid, ErrNotFound, ErrVersion, ErrNotPublished.
func (s *Service) Update(ctx context.Context, id string, c Change) (entity.Outcome[User], error) {
	oid, err := objectID(id)
	if err := errors.Join(err, c.Validate()); err != nil {
		return entity.Outcome[User]{}, err
	}
	tell := s.telling(func(u User) []events.Payload { return []events.Payload{profileUpdated(u)} })
	return s.users.Update(ctx, oid, func(u *User) error {
		if c.Done(*u) {
			return entity.ErrUnchanged
		}
		c.Apply(u)
		return nil
	}, tell, entity.IfVersion(c.IfVersion))
}

// Delete removes a user and publishes user.left. The id must not be used again. entity.ErrInvalid,
// ErrNotFound, ErrVersion, ErrNotPublished.
func (s *Service) Delete(ctx context.Context, id string, version *int64) (entity.Outcome[User], error) {
	oid, err := objectID(id)
	if err != nil {
		return entity.Outcome[User]{}, err
	}
	tell := s.telling(func(u User) []events.Payload {
		return []events.Payload{social.UserLeft{UserID: u.ID, At: time.Now().UTC().Truncate(time.Millisecond)}}
	})
	return s.users.Delete(ctx, oid, tell, entity.IfVersion(version))
}

// Get returns one user. entity.ErrInvalid, ErrNotFound.
func (s *Service) Get(ctx context.Context, id string) (User, error) {
	oid, err := objectID(id)
	if err != nil {
		return User{}, err
	}
	u, err := s.users.Get(ctx, oid)
	return u.Value, err
}

// GetMany returns those of the users that exist, in the order of ids. entity.ErrInvalid.
func (s *Service) GetMany(ctx context.Context, ids []string) ([]User, error) {
	if len(ids) > MaxIDs {
		return nil, fmt.Errorf("%w: at most %d ids at once, not %d", entity.ErrInvalid, MaxIDs, len(ids))
	}
	oids := make([]any, len(ids))
	for i, id := range ids {
		var err error
		if oids[i], err = objectID(id); err != nil {
			return nil, err
		}
	}
	return values(s.users.GetMany(ctx, oids...))
}

// List returns a page of all users behind a cursor, "" for the beginning, and the next cursor,
// "" at the end. entity.ErrCursor.
func (s *Service) List(ctx context.Context, cursor string, limit int) ([]User, string, error) {
	found, next, err := s.users.Query(ctx, entity.Query{Limit: limit, Cursor: cursor})
	page, err := values(found, err)
	return page, next, err
}

// Authenticate returns the user with this e-mail if the password is right, else
// ErrCredentials, after the same time whether or not there is such a user.
func (s *Service) Authenticate(ctx context.Context, email, password string) (User, error) {
	found, err := s.users.ByUnique(ctx, bson.D{{Key: "email", Value: email}})
	u := found.Value
	hash := []byte(u.PasswordHash)
	if errors.Is(err, entity.ErrNotFound) || errors.Is(err, entity.ErrInvalid) { // too long for a key, say
		hash = s.dummyHash
	} else if err != nil {
		return User{}, fmt.Errorf("authenticate: %w", err)
	}
	free, waitErr := s.acquireHashSlot(ctx)
	if waitErr != nil {
		return User{}, waitErr
	}
	defer free()
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil || err != nil {
		return User{}, ErrCredentials
	}
	return u, nil
}

func values(found []entity.Versioned[User], err error) ([]User, error) {
	all := make([]User, len(found))
	for i, u := range found {
		all[i] = u.Value
	}
	return all, err
}

// telling has a write tell facts of the user as it is then, or as it was where it is deleted.
func (s *Service) telling(facts func(User) []events.Payload) entity.Option {
	return s.users.Telling(func(ctx context.Context, before, after *entity.Versioned[User]) (all []events.Event, err error) {
		for _, fact := range facts(cmp.Or(after, before).Value) {
			e, err := events.New(ctx, source, fact)
			if err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		return all, nil
	})
}

func profileUpdated(u User) events.Payload {
	return social.UserProfileUpdated{UserID: u.ID, Name: u.Name, Bio: u.Bio, Version: u.Version}
}

func (s *Service) hash(ctx context.Context, password string) (string, error) {
	free, err := s.acquireHashSlot(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), s.cost)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return string(hash), nil
}

func (s *Service) acquireHashSlot(ctx context.Context) (free func(), err error) {
	select {
	case s.hashing <- struct{}{}:
		return func() { <-s.hashing }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other passwords to be hashed: %w", ctx.Err())
	}
}
