package users

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/migrate/ownership"
	"github.com/banyan-fig/banyan/services/keyedlock"
)

// Ownership admits each operation to the store that owns the users.
// *ownership.Member is one.
type Ownership interface {
	Read(ctx context.Context, fn func(context.Context, ownership.Grant) error) error
	Write(ctx context.Context, fn func(context.Context, ownership.Grant) error) error
}

// Publisher publishes an event and returns its position, once it is kept.
type Publisher interface {
	Publish(ctx context.Context, e events.Event) (events.Position, error)
}

// Config configures New. Ownership, Stores and Publisher are required.
type Config struct {
	// Ownership selects the store for each request.
	Ownership Ownership
	// Stores holds the store for each possible owner.
	Stores map[ownership.Store]Store
	// Publisher gets an event for each write.
	Publisher Publisher
	// Source of the events. Default "/services/users".
	Source string
	// BcryptCost for new passwords. Default 10.
	BcryptCost int
	// HashesAtOnce bounds how many passwords are hashed or compared at a time, as
	// each keeps a core busy. Default 4.
	HashesAtOnce int
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// Validate returns an error for missing or invalid fields.
func (c Config) Validate() error {
	switch {
	case c.Ownership == nil:
		return errors.New("users service: Ownership is required")
	case len(c.Stores) == 0:
		return errors.New("users service: Stores is required")
	case c.Publisher == nil:
		return errors.New("users service: Publisher is required")
	case c.BcryptCost != 0 && (c.BcryptCost < bcrypt.MinCost || c.BcryptCost > bcrypt.MaxCost):
		return fmt.Errorf("users service: BcryptCost must be %d to %d, not %d", bcrypt.MinCost, bcrypt.MaxCost, c.BcryptCost)
	}
	return nil
}

func (c Config) withDefaults() Config {
	c.Source = cmp.Or(c.Source, "/services/users")
	c.BcryptCost = cmp.Or(c.BcryptCost, bcrypt.DefaultCost)
	c.HashesAtOnce = cmp.Or(max(c.HashesAtOnce, 0), 4)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Service is the domain of users. It is safe for concurrent use.
type Service struct {
	cfg       Config
	hashing   chan struct{}
	locks     *keyedlock.Lock
	dummyHash []byte // compared if there is no user, so that the response time reveals nothing
	published atomic.Int64
}

// New makes a Service.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	dummyHash, err := bcrypt.GenerateFromPassword([]byte("no user has this password"), cfg.BcryptCost)
	if err != nil {
		return nil, fmt.Errorf("users service: hash the dummy password: %w", err)
	}
	return &Service{cfg: cfg, hashing: make(chan struct{}, cfg.HashesAtOnce), locks: keyedlock.New(), dummyHash: dummyHash}, nil
}

// Written is the outcome of a write.
type Written struct {
	User User
	// Created is false when the user existed already.
	Created bool
	// Position of the last event that was published for the write.
	Position events.Position
}

// Create stores a user under the id that the client chose, and publishes
// user.joined. Repeating it is harmless. ErrInvalid, ErrEmailTaken, ErrIDTaken,
// ErrNotPublished.
func (s *Service) Create(ctx context.Context, n NewUser) (Written, error) {
	if err := n.Validate(); err != nil {
		return Written{}, err
	}
	hash, err := s.hash(ctx, n.Password)
	if err != nil {
		return Written{}, err
	}
	if n.CreatedAt.IsZero() {
		n.CreatedAt = s.cfg.Now()
	}
	u := User{
		ID: n.ID, Name: n.Name, Email: n.Email, Bio: n.Bio, PasswordHash: hash,
		Version: 1, CreatedAt: n.CreatedAt.UTC().Truncate(time.Millisecond),
	}
	release, err := s.locks.Acquire(ctx, n.ID)
	if err != nil {
		return Written{}, err
	}
	defer release()
	var w Written
	var pending Pending
	makeEvents := s.eventsOfCreate(ctx)
	err = s.write(ctx, func(ctx context.Context, store Store, epoch int64) (err error) {
		w.User, w.Created, pending, err = createUser(ctx, store, epoch, u, makeEvents)
		return err
	})
	if err != nil {
		return Written{}, fmt.Errorf("create user %s: %w", n.ID, err)
	}
	w.Position, err = s.publish(ctx, pending, w.User, makeEvents)
	return w, err
}

// Update changes a user and publishes user.profile-updated. ErrInvalid,
// ErrNotFound, ErrVersion, ErrNotPublished.
func (s *Service) Update(ctx context.Context, id string, c Change) (Written, error) {
	if err := errors.Join(ValidateID(id), c.Validate()); err != nil {
		return Written{}, err
	}
	release, err := s.locks.Acquire(ctx, id)
	if err != nil {
		return Written{}, err
	}
	defer release()
	var w Written
	var pending Pending
	makeEvents := s.eventsOfUpdate(ctx)
	err = s.write(ctx, func(ctx context.Context, store Store, epoch int64) (err error) {
		w.User, pending, err = updateUser(ctx, store, epoch, id, c, makeEvents)
		return err
	})
	if err != nil {
		return Written{}, fmt.Errorf("change user %s: %w", id, err)
	}
	w.Position, err = s.publish(ctx, pending, w.User, makeEvents)
	return w, err
}

// Get returns one user. ErrInvalid, ErrNotFound.
func (s *Service) Get(ctx context.Context, id string) (User, error) {
	if err := ValidateID(id); err != nil {
		return User{}, err
	}
	var u User
	err := s.read(ctx, func(ctx context.Context, store Store) (err error) {
		u, err = store.Get(ctx, id)
		return err
	})
	if err != nil {
		return User{}, fmt.Errorf("get user %s: %w", id, err)
	}
	return u, nil
}

// GetMany returns those of the users that exist, in the order of ids.
func (s *Service) GetMany(ctx context.Context, ids []string) ([]User, error) {
	if len(ids) > MaxIDs {
		return nil, fmt.Errorf("%w: at most %d ids at once, not %d", ErrInvalid, MaxIDs, len(ids))
	}
	for _, id := range ids {
		if err := ValidateID(id); err != nil {
			return nil, err
		}
	}
	ids = distinct(ids)
	var found []User
	err := s.read(ctx, func(ctx context.Context, store Store) (err error) {
		found, err = store.GetMany(ctx, ids)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("get %d users: %w", len(ids), err)
	}
	return inOrder(ids, found), nil
}

// List returns a page of all users.
func (s *Service) List(ctx context.Context, from Cursor, limit int) ([]User, Cursor, error) {
	var page []User
	var next Cursor
	err := s.read(ctx, func(ctx context.Context, store Store) (err error) {
		page, next, err = store.List(ctx, from, limit)
		return err
	})
	if err != nil {
		return nil, Cursor{}, fmt.Errorf("list users: %w", err)
	}
	return page, next, nil
}

// Authenticate returns the user with this e-mail if the password is right, else
// ErrCredentials, after the same time whether or not there is such a user.
func (s *Service) Authenticate(ctx context.Context, email, password string) (User, error) {
	var u User
	err := s.read(ctx, func(ctx context.Context, store Store) (err error) {
		u, err = store.ByEmail(ctx, email)
		return err
	})
	hash := []byte(u.PasswordHash)
	if errors.Is(err, ErrNotFound) {
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

// Published is the number of events published.
func (s *Service) Published() int64 { return s.published.Load() }

func (s *Service) read(ctx context.Context, fn func(context.Context, Store) error) error {
	return s.cfg.Ownership.Read(ctx, func(ctx context.Context, g ownership.Grant) error {
		store, err := s.store(g)
		if err != nil {
			return err
		}
		return fn(ctx, store)
	})
}

func (s *Service) write(ctx context.Context, fn func(context.Context, Store, int64) error) error {
	return s.cfg.Ownership.Write(ctx, func(ctx context.Context, g ownership.Grant) error {
		store, err := s.store(g)
		if err != nil {
			return err
		}
		return fn(ctx, store, g.Epoch)
	})
}

func (s *Service) store(g ownership.Grant) (Store, error) {
	store, ok := s.cfg.Stores[g.Owner]
	if !ok {
		return nil, fmt.Errorf("users are owned by %q since epoch %d, for which this service has no store", g.Owner, g.Epoch)
	}
	return store, nil
}

func (s *Service) hash(ctx context.Context, password string) (string, error) {
	free, err := s.acquireHashSlot(ctx)
	if err != nil {
		return "", err
	}
	defer free()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), s.cfg.BcryptCost)
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

func distinct(ids []string) []string {
	seen := make(map[string]bool, len(ids))
	var out []string
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

func inOrder(ids []string, found []User) []User {
	byID := make(map[string]User, len(found))
	for _, u := range found {
		byID[u.ID] = u
	}
	out := make([]User, 0, len(found))
	for _, id := range ids {
		if u, ok := byID[id]; ok {
			out = append(out, u)
		}
	}
	return out
}
