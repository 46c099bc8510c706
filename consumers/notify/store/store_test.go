package store_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

var start = time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)

func newStore(t *testing.T, faults *streamtest.Faults) *store.Store {
	db := streamtest.NewDynamoDB(t)
	return store.New(db.Client(faults), db.CreateTable(dynamo.CompositeTable))
}

func device(token string, at int) channel.Address {
	return channel.Address{Channel: channel.FCM, Token: token, Registered: start.Add(time.Duration(at) * time.Second)}
}

func tokens(t *testing.T, s *store.Store, user string) []string {
	t.Helper()
	u, err := s.User(t.Context(), user)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, a := range u.Addresses {
		out = append(out, a.Token)
	}
	return out
}

// TestADeviceHasOneUser: whoever logged in last, in whatever order that is heard.
func TestADeviceHasOneUser(t *testing.T) {
	s := newStore(t, nil)
	register := func(user string, a channel.Address, want error) {
		t.Helper()
		if err := s.Register(t.Context(), user, a); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", user, err, want)
		}
	}
	register("ada", device("phone", 1), nil)
	register("ada", device("phone", 1), nil)
	register("bob", device("phone", 3), nil)
	register("ada", device("phone", 2), store.ErrOlder)
	register("ada", device("tablet", 2), nil)
	register("ada", device("watch", 5), nil)
	register("bob", device("phone", 0), store.ErrOlder)
	if ada, bob := tokens(t, s, "ada"), tokens(t, s, "bob"); !slices.Equal(ada, []string{"watch", "tablet"}) || !slices.Equal(bob, []string{"phone"}) {
		t.Errorf("ada has %v, bob has %v", ada, bob)
	}
	mail := channel.Address{Channel: channel.SES, Token: "both@example.com", Registered: start}
	register("ada", mail, nil)
	register("bob", mail, nil)
	if len(tokens(t, s, "ada")) != 3 || len(tokens(t, s, "bob")) != 2 {
		t.Error("an e-mail address may have several users")
	}
}

// TestADeviceMovesUnderFaults: many logins at once leave the device with the last.
func TestADeviceMovesUnderFaults(t *testing.T) {
	const seed = 4
	s := newStore(t, streamtest.NewFaults(seed, 15))
	var several sync.WaitGroup
	for i := range 12 {
		several.Go(func() {
			for { // as long as it fails by the faults
				err := s.Register(t.Context(), fmt.Sprintf("user-%d", i), device("phone", i))
				if err == nil || errors.Is(err, store.ErrOlder) || t.Context().Err() != nil {
					return
				}
			}
		})
	}
	several.Wait()
	for i := range 12 {
		if n := len(tokens(t, s, fmt.Sprintf("user-%d", i))); n != 0 && i < 11 || n != 1 && i == 11 {
			t.Errorf("seed %d: user %d of 12 has %d devices", seed, i, n)
		}
	}
}

func TestAddressesAreBounded(t *testing.T) {
	s := newStore(t, nil)
	for i := range store.MaxAddresses + 3 {
		if err := s.Register(t.Context(), "ada", device(fmt.Sprint(i), i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := tokens(t, s, "ada"); len(got) != store.MaxAddresses || got[0] != fmt.Sprint(store.MaxAddresses+2) {
		t.Errorf("%d addresses, first %s", len(got), got[0])
	}
	for name, a := range map[string]channel.Address{
		"unknown channel": {Channel: "fax", Token: "1", Registered: start}, "no token": {Channel: channel.FCM, Registered: start},
		"no keys": {Channel: channel.WebPush, Token: "https://push.example", Registered: start}, "no time": {Channel: channel.FCM, Token: "1"},
	} {
		if err := s.Register(t.Context(), "ada", a); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestPrune(t *testing.T) {
	s := newStore(t, nil)
	for _, test := range []struct{ since, left int }{{9, 1}, {10, 0}, {11, 0}} {
		if err := s.Register(t.Context(), "ada", device("phone", 10)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.Prune(t.Context(), "ada", device("phone", 0), start.Add(time.Duration(test.since)*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(tokens(t, s, "ada")); n != test.left {
			t.Errorf("pruned as of %d: %d left, want %d", test.since, n, test.left)
		}
	}
}

// TestLimitAllowsBursts: no more than Burst at once, however many ask, and one more each Every.
func TestLimitAllowsBursts(t *testing.T) {
	s := newStore(t, nil)
	limit := &store.Limit{Burst: 3, Every: time.Minute}
	allowed := func(at time.Time, from, to int) (n int) {
		var mu sync.Mutex
		var several sync.WaitGroup
		for i := from; i < to; i++ {
			several.Go(func() {
				_, err := s.Save(t.Context(), nil, store.Record{User: "ada", Event: fmt.Sprint(i), Template: "x", At: start}, limit, at)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					n++
				} else if !errors.Is(err, store.ErrLimited) {
					t.Error(err)
				}
			})
		}
		several.Wait()
		return n
	}
	for i, test := range []struct {
		at   time.Duration
		want int
	}{{0, 3}, {59 * time.Second, 0}, {time.Minute, 1}, {time.Hour, 3}} {
		if n := allowed(start.Add(test.at), 10*i, 10*i+6); n != test.want {
			t.Errorf("after %v: %d of 6, want %d", test.at, n, test.want)
		}
	}
}
