package keytable_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/events/personal"
	"github.com/banyan-fig/banyan/events/personal/keytable"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// store is a table of keys that can be throttled.
type store struct {
	t         *testing.T
	client    *awsdynamodb.Client
	throttled atomic.Bool
	requests  atomic.Int64
}

func newStore(t *testing.T) *store {
	s := &store{t: t}
	server := dynamodb.New(dynamodb.Config{})
	cfg := sandboxtest.Config(t, sandboxtest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		if s.throttled.Load() {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow down"}`)
			return
		}
		server.ServeHTTP(w, r)
	})))
	cfg.RetryMaxAttempts = 1
	s.client = awsdynamodb.NewFromConfig(cfg)
	sandboxtest.Must(t, dynamo.EnsureTable(t.Context(), s.client, keytable.Input("keys")))
	return s
}

func (s *store) table(change func(*keytable.Config)) *keytable.Table {
	cfg := keytable.Config{Client: s.client, Name: "keys"}
	if change != nil {
		change(&cfg)
	}
	table, err := keytable.New(cfg)
	sandboxtest.Must(s.t, err)
	return table
}

func (s *store) item(subject string) dynamo.Item {
	out, err := s.client.GetItem(s.t.Context(), &awsdynamodb.GetItemInput{TableName: aws.String("keys"), Key: dynamo.Item{"subject": dynamo.String(subject)}})
	sandboxtest.Must(s.t, err)
	return out.Item
}

func id(t *testing.T, find func(context.Context, string) (personal.Key, error), subject string) string {
	t.Helper()
	key, err := find(t.Context(), subject)
	sandboxtest.Must(t, err)
	return key.ID()
}

func TestOneKeyASubject(t *testing.T) {
	s := newStore(t)
	a, b := s.table(nil), s.table(nil)
	if _, err := a.Find(t.Context(), "user/1"); !errors.Is(err, personal.ErrNoKey) || !strings.Contains(err.Error(), `of subject "user/1" in table "keys"`) {
		t.Errorf("before there is one: %v", err)
	}
	made := id(t, a.Make, "user/1")
	if id(t, b.Make, "user/1") != made || id(t, b.Find, "user/1") != made || id(t, a.Make, "user/2") == made {
		t.Error("another key for the same subject, or the same for another")
	}
	sent := s.requests.Load()
	if id(t, a.Find, "user/1") != made || s.requests.Load() != sent {
		t.Error("a cached key was read again")
	}
}

// TestManyMakeOneKey: processes that seal for the same subject at the same time all use one key.
func TestManyMakeOneKey(t *testing.T) {
	s := newStore(t)
	var wg sync.WaitGroup
	for n := range 20 {
		subject, ids := fmt.Sprint("user/", n), make([]string, 8)
		for i := range ids {
			wg.Go(func() {
				key, err := s.table(nil).Make(t.Context(), subject)
				if err != nil {
					t.Error(err)
				}
				ids[i] = key.ID()
			})
		}
		wg.Wait()
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("subject %s has the keys %v", subject, ids)
			}
		}
	}
}

func TestErase(t *testing.T) {
	s := newStore(t)
	clock := time.Unix(0, 0)
	now := func(c *keytable.Config) { c.Now = func() time.Time { return clock } }
	here, there := s.table(now), s.table(now)
	made := id(t, here.Make, "user/1")
	id(t, there.Find, "user/1")
	if status, err := here.Status(t.Context(), "user/1"); status != keytable.HasKey || err != nil {
		t.Errorf("before: %v, %v", status, err)
	}
	if had, err := here.Erase(t.Context(), "user/1"); !had || err != nil {
		t.Fatal(had, err)
	}
	if _, ok := s.item("user/1")["secret"]; ok {
		t.Error("the key is still in the table")
	}
	if _, err := here.Make(t.Context(), "user/1"); !errors.Is(err, personal.ErrErased) {
		t.Errorf("here at once: %v", err)
	}
	clock = clock.Add(keytable.DefaultMaxAge - 1)
	if id(t, there.Find, "user/1") != made {
		t.Error("not cached there")
	}
	clock = clock.Add(1)
	for what, get := range map[string]func(context.Context, string) (personal.Key, error){"find": there.Find, "make": there.Make} {
		if _, err := get(t.Context(), "user/1"); !errors.Is(err, personal.ErrErased) {
			t.Errorf("%s there after the age: %v", what, err)
		}
	}
	first := s.item("user/1")["erased_at"]
	clock = clock.Add(time.Hour)
	if had, err := here.Erase(t.Context(), "user/1"); had || err != nil {
		t.Errorf("again: %v, %v", had, err)
	}
	if again := s.item("user/1")["erased_at"]; again.(*types.AttributeValueMemberS).Value != first.(*types.AttributeValueMemberS).Value {
		t.Errorf("the time of the erasure changed to %v", again)
	}
	if status, err := here.Status(t.Context(), "user/2"); status != keytable.NoKey || err != nil {
		t.Errorf("of nobody: %v, %v", status, err)
	}
	if had, err := here.Erase(t.Context(), "user/2"); had || err != nil { // who has no key gets none later
		t.Error(had, err)
	}
	if _, err := there.Make(t.Context(), "user/2"); !errors.Is(err, personal.ErrErased) {
		t.Errorf("a key after the erasure: %v", err)
	}
}

// TestThrottled: the store's failure is neither an erasure nor a missing key, and a key that
// is older than the age is not used meanwhile.
func TestThrottled(t *testing.T) {
	s := newStore(t)
	clock := time.Unix(0, 0)
	table := s.table(func(c *keytable.Config) { c.Now, c.MaxCached = func() time.Time { return clock }, 1 })
	made := id(t, table.Make, "user/1")
	s.throttled.Store(true)
	if id(t, table.Find, "user/1") != made {
		t.Error("a cached key was not used")
	}
	clock = clock.Add(keytable.DefaultMaxAge)
	failing := func(what string, err error) {
		t.Helper()
		_, throttled := errors.AsType[*types.ProvisionedThroughputExceededException](err)
		if !throttled || errors.Is(err, personal.ErrErased) || errors.Is(err, personal.ErrNoKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := table.Find(t.Context(), "user/1")
	failing("find", err)
	_, err = table.Make(t.Context(), "user/9")
	failing("make", err)
	_, err = table.Erase(t.Context(), "user/1")
	failing("erase", err)
	_, err = table.Status(t.Context(), "user/1")
	failing("status", err)
	s.throttled.Store(false)
	if id(t, table.Find, "user/1") != made {
		t.Error("another key afterwards")
	}
}

func TestConfig(t *testing.T) {
	for _, cfg := range []keytable.Config{{}, {Name: "keys"}, {Client: &awsdynamodb.Client{}}, {Client: &awsdynamodb.Client{}, Name: "k", MaxAge: -1}} {
		if _, err := keytable.New(cfg); err == nil {
			t.Errorf("made of %+v", cfg)
		}
	}
}
