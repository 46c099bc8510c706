package once_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// account is a state whose sum shows every effect that is missing or there twice.
type account struct {
	Sum    int
	Last   string
	Events []string `dynamodbav:",omitempty"`
}

func deposited(n int, partition, id string, amount int) consumers.Message {
	return consumers.Message{
		Event:    events.Event{ID: id, Source: "/bank", Type: "deposited", Version: 1, PartitionKey: partition, Data: json.RawMessage(fmt.Sprint(amount))},
		Position: position(n),
	}
}

func foldAccount(a *account, m consumers.Message) error {
	var amount int
	if err := json.Unmarshal(m.Event.Data, &amount); err != nil {
		return err
	}
	a.Sum, a.Last = a.Sum+amount, m.Event.ID
	a.Events = append(a.Events, m.Event.ID)
	return nil
}

func accountConfig(f fixture, guard once.Guard) once.ModelConfig[account] {
	return once.ModelConfig[account]{
		Name: "account", Client: f.sent, Table: f.table, Guard: guard, Fold: foldAccount,
		Key: func(m consumers.Message) string { key, _, _ := strings.Cut(m.Event.PartitionKey, "/"); return key },
	}
}

func newModel[T any](t *testing.T, cfg once.ModelConfig[T]) *once.Model[T] {
	t.Helper()
	m, err := once.NewModel(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestModelOrders folds the events of one item in orders that redelivery, duplicates on
// the stream and redriven dead letters can bring about: id@position.
func TestModelOrders(t *testing.T) {
	for _, c := range []struct {
		guard     once.Guard
		delivered string
		want      string // events in effect, in this order
	}{
		{once.ByEvent, "a@1 b@2 c@3", "a b c"},
		{once.ByEvent, "a@1 a@1 b@2 a@1 b@2", "a b"},
		{once.ByEvent, "a@1 b@2 a@3 b@4", "a b"},
		{once.ByEvent, "b@2 a@1 b@2 a@1", "b a"},
		{once.ByPosition, "a@1 b@2 c@3", "a b c"},
		{once.ByPosition, "a@1 a@1 b@2 a@1 b@2", "a b"},
		{once.ByPosition, "a@9 b@10 a@9", "a b"},
		{once.ByPosition, "b@2 a@1", "b"},
	} {
		t.Run(fmt.Sprint(c.guard, c.delivered), func(t *testing.T) {
			f := newFixture(t, nil)
			m := newModel(t, accountConfig(f, c.guard))
			fresh, highest := 0, 0
			for event := range strings.FieldsSeq(c.delivered) {
				id, at, _ := strings.Cut(event, "@")
				var n int
				_, _ = fmt.Sscan(at, &n)
				err := m.Handle(t.Context(), deposited(n, "ada", id, 1))
				if err != nil && !errors.Is(err, consumers.ErrStale) {
					t.Fatal(err)
				} else if err == nil {
					fresh, highest = fresh+1, max(highest, n)
				}
			}
			got, pos, err := m.Get(t.Context(), "ada")
			if want := strings.Fields(c.want); err != nil || !slices.Equal(got.Events, want) || got.Sum != len(want) || fresh != len(want) {
				t.Errorf("%+v after %d fresh events, %v; want %s", got, fresh, err, c.want)
			}
			if pos != position(highest) {
				t.Errorf("position %v, want that of %d", pos, highest)
			}
		})
	}
}

// TestModelIsTheFold delivers random events of several partitions in batches that come
// twice, in part and late, to several processes at the same time, through faults; some
// were published twice. In the end each event is in effect once.
func TestModelIsTheFold(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 3))
			faults := streamtest.NewFaults(seed, 12)
			f := newFixture(t, faults)
			want := map[string]int{}
			var stream []consumers.Message
			for n := range 120 {
				item, amount := fmt.Sprint("item", random.IntN(4)), 1<<random.IntN(10)
				m := deposited(n+1, fmt.Sprint(item, "/", random.IntN(3)), fmt.Sprint("e", n), amount)
				want[item] += amount
				stream = append(stream, m)
				if n > 0 && random.IntN(5) == 0 { // published again, at a later position
					again := stream[random.IntN(len(stream))]
					again.Position = events.Position{Sequence: streamtest.Sequence(n + 1), Sub: 1}
					stream = append(stream, again)
				}
			}
			deliverRoughly(t, f, random, stream)
			m := newModel(t, accountConfig(f, once.ByEvent))
			for item, sum := range want {
				if got, _, err := m.Get(t.Context(), item); err != nil || got.Sum != sum {
					t.Errorf("%s: sum %d, want %d (%v)", item, got.Sum, sum, err)
				}
			}
			if faults.Injected() == 0 {
				t.Error("no fault was injected")
			}
		})
	}
}

// deliverRoughly runs four processes, each with a model of its own, over parts of the
// stream that overlap, and repeats what failed.
func deliverRoughly(t *testing.T, f fixture, random *rand.Rand, stream []consumers.Message) {
	var processes sync.WaitGroup
	for i := range 4 {
		part := slices.Clone(stream[max(0, i*len(stream)/4-20):min(len(stream), (i+1)*len(stream)/4+20)])
		random.Shuffle(len(part), func(a, b int) { part[a], part[b] = part[b], part[a] })
		m := newModel(t, accountConfig(f, once.ByEvent))
		processes.Go(func() {
			for _, msg := range part {
				for tries := 0; ; tries++ {
					err := m.Handle(t.Context(), msg)
					if err == nil || errors.Is(err, consumers.ErrStale) {
						break
					}
					if tries > 50 || !consumers.IsUnavailable(err) {
						t.Errorf("%s: %v", msg.Event.ID, err)
						break
					}
				}
			}
		})
	}
	processes.Wait()
}

// TestModelOvertaken: another process changes the item between the read and the write.
func TestModelOvertaken(t *testing.T) {
	for _, guard := range []once.Guard{once.ByEvent, once.ByPosition} {
		gate := streamtest.NewGate("TransactWriteItems", `"ada"`)
		faults := streamtest.NewFaults(0, 0)
		faults.Before = gate.Before
		f := newFixture(t, faults)
		slow, other := newModel(t, accountConfig(f, guard)), accountConfig(f, guard)
		other.Client = f.client
		done := make(chan error, 1)
		go func() { done <- slow.Handle(t.Context(), deposited(1, "ada", "a", 1)) }()
		gate.Wait(t)
		err := newModel(t, other).Handle(t.Context(), deposited(2, "ada", "b", 10))
		gate.Open()
		if err != nil {
			t.Fatal(err)
		}
		err = <-done
		got, _, _ := slow.Get(t.Context(), "ada")
		switch {
		case guard == once.ByEvent && (err != nil || got.Sum != 11):
			t.Errorf("by event: %v, %+v", err, got)
		case guard == once.ByPosition && (!errors.Is(err, consumers.ErrStale) || got.Sum != 10):
			t.Errorf("by position: %v, %+v", err, got)
		}
	}
}

func TestModelRefuses(t *testing.T) {
	f := newFixture(t, nil)
	m := newModel(t, accountConfig(f, once.ByPosition))
	if err := m.Handle(t.Context(), deposited(1, "ada/1", "a", 1)); err != nil {
		t.Fatal(err)
	}
	if err := m.Handle(t.Context(), deposited(2, "ada/2", "b", 1)); !consumers.IsPermanent(err) || !strings.Contains(err.Error(), "ByEvent") {
		t.Errorf("by position, of another partition: %v", err)
	}
	odd := deposited(3, "ada/1", "c", 0)
	odd.Event.Data = json.RawMessage(`"much"`)
	if err := m.Handle(t.Context(), odd); !consumers.IsPermanent(err) {
		t.Errorf("an event that cannot be folded: %v", err)
	}
	if err := m.Handle(t.Context(), deposited(4, "/x", "d", 1)); err != nil {
		t.Errorf("an event of no item: %v", err)
	}
	if err := m.Handle(t.Context(), deposited(5, strings.Repeat("k", 3000), "e", 1)); !consumers.IsPermanent(err) {
		t.Errorf("a key of 3,000 bytes: %v", err)
	}
	if _, _, err := m.Get(t.Context(), "bob"); !errors.Is(err, once.ErrNotFound) {
		t.Errorf("no such item: %v", err)
	}
	cfg := accountConfig(f, once.ByEvent)
	cfg.Fold = func(a *account, m consumers.Message) error { a.Last = strings.Repeat("x", 400<<10); return nil }
	if err := newModel(t, cfg).Handle(t.Context(), deposited(6, "big", "f", 1)); !consumers.IsPermanent(err) {
		t.Errorf("an item of 400 KB: %v", err)
	}
	cfg = accountConfig(f, once.ByEvent)
	cfg.Table = "nowhere"
	if err := newModel(t, cfg).Handle(t.Context(), deposited(7, "ada", "g", 1)); !consumers.IsUnavailable(err) {
		t.Errorf("a missing table: %v", err)
	}
}

func TestModelConfig(t *testing.T) {
	f := newFixture(t, nil)
	for name, change := range map[string]func(*once.ModelConfig[account]){
		"no name":          func(c *once.ModelConfig[account]) { c.Name = "" },
		"a name with #":    func(c *once.ModelConfig[account]) { c.Name = "a#b" },
		"no client":        func(c *once.ModelConfig[account]) { c.Client = nil },
		"no table":         func(c *once.ModelConfig[account]) { c.Table = "" },
		"no key":           func(c *once.ModelConfig[account]) { c.Key = nil },
		"no fold":          func(c *once.ModelConfig[account]) { c.Fold = nil },
		"no such guard":    func(c *once.ModelConfig[account]) { c.Guard = 7 },
		"negative forever": func(c *once.ModelConfig[account]) { c.Remember = -1 },
	} {
		cfg := accountConfig(f, once.ByEvent)
		change(&cfg)
		if _, err := once.NewModel(cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// stateError is what NewModel says of a type of states.
func stateError[T any](f fixture) string {
	_, err := once.NewModel(once.ModelConfig[T]{
		Name: "m", Client: f.client, Table: f.table, Key: accountConfig(f, 0).Key, Fold: func(*T, consumers.Message) error { return nil },
	})
	return fmt.Sprint(err)
}

// TestModelRefusesStates that it would lose, or that would overwrite its own attributes,
// when the program starts.
func TestModelRefusesStates(t *testing.T) {
	f := newFixture(t, nil)
	type position struct {
		Position string `dynamodbav:"pos,omitempty"`
	}
	for got, want := range map[string]string{
		stateError[int](f): "must be a struct",
		stateError[struct {
			Position string `dynamodbav:"pos"`
		}](f): `has the attribute "pos"`,
		stateError[struct {
			Key string `dynamodbav:"pk,omitempty"`
		}](f): `has the attribute "pk"`,
		stateError[struct{ *position }](f):                       `has the attribute "pos"`,
		stateError[struct{ count int }](f):                       "has no exported fields",
		stateError[struct{}](f):                                  "nil",
		stateError[struct{ Rev, Pos, Partition, PK, Sk int }](f): "nil",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	type session struct {
		Expires int64 `dynamodbav:"expires"`
	}
	sessions := once.ModelConfig[session]{
		Name: "m", Client: f.client, Table: f.table, Key: accountConfig(f, 0).Key, Fold: func(*session, consumers.Message) error { return nil },
	}
	newModel(t, sessions)
	sessions.Remember = time.Hour
	if _, err := once.NewModel(sessions); err == nil || !strings.Contains(err.Error(), `"expires"`) {
		t.Errorf("a state that the table's TTL would delete: %v", err)
	}
}

// TestModelKeepsFieldsCalledAsItsAttributes apart, whose names differ by case alone.
func TestModelKeepsFieldsCalledAsItsAttributes(t *testing.T) {
	type state struct{ Rev, Pos, Partition, PK, Sk int }
	f := newFixture(t, nil)
	m := newModel(t, once.ModelConfig[state]{
		Name: "m", Client: f.client, Table: f.table, Key: func(consumers.Message) string { return "ada" },
		Fold: func(s *state, _ consumers.Message) error {
			*s = state{s.Rev + 10, s.Pos + 20, s.Partition + 30, s.PK + 40, s.Sk + 50}
			return nil
		},
	})
	for n := range 3 {
		if err := m.Handle(t.Context(), deposited(n+1, "ada", fmt.Sprint(n), 1)); err != nil {
			t.Fatal(err)
		}
	}
	if got, _, err := m.Get(t.Context(), "ada"); err != nil || got != (state{30, 60, 90, 120, 150}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestModelsShareATable by their names, though they have the same keys and events.
func TestModelsShareATable(t *testing.T) {
	type latest struct{ Note string }
	f := newFixture(t, nil)
	accounts := newModel(t, accountConfig(f, once.ByEvent))
	notes := newModel(t, once.ModelConfig[latest]{
		Name: "note", Client: f.client, Table: f.table, Key: accountConfig(f, 0).Key,
		Fold: func(l *latest, m consumers.Message) error { l.Note = m.Event.ID; return nil },
	})
	for n, id := range []string{"a", "b"} {
		m := deposited(n+1, "ada", id, 1)
		for _, err := range []error{accounts.Handle(t.Context(), m), notes.Handle(t.Context(), m)} {
			if err != nil {
				t.Fatalf("event %s: %v", id, err)
			}
		}
	}
	account, _, err1 := accounts.Get(t.Context(), "ada")
	note, _, err2 := notes.Get(t.Context(), "ada")
	if account.Sum != 2 || note.Note != "b" || err1 != nil || err2 != nil {
		t.Errorf("%+v %v, %+v %v", account, err1, note, err2)
	}
}

// TestEventsOfDifferentSourcesAreDifferent, whatever their ids and sources have in them.
func TestEventsOfDifferentSourcesAreDifferent(t *testing.T) {
	f := newFixture(t, nil)
	m := newModel(t, accountConfig(f, once.ByEvent))
	for n, e := range [][2]string{{"a#b", "c"}, {"a", "b#c"}, {"a%23b", "c"}} {
		msg := deposited(n+1, "ada", e[0], 1)
		msg.Event.Source = e[1]
		if err := m.Handle(t.Context(), msg); err != nil {
			t.Errorf("%v: %v", e, err)
		}
	}
}

// TestAnotherGuardStopsTheShard: it is the program's fault, and would make a dead letter
// of every event.
func TestAnotherGuardStopsTheShard(t *testing.T) {
	f := newFixture(t, nil)
	if err := newModel(t, accountConfig(f, once.ByEvent)).Handle(t.Context(), deposited(1, "ada", "a", 1)); err != nil {
		t.Fatal(err)
	}
	err := newModel(t, accountConfig(f, once.ByPosition)).Handle(t.Context(), deposited(2, "ada", "b", 1))
	if !consumers.IsUnavailable(err) || !strings.Contains(err.Error(), "written with the Guard ByEvent") {
		t.Error(err)
	}
}

// TestModelRefusesWhatItHas: a fold that refuses an event because the state has it
// already makes no dead letter of one that is delivered, or was published, again.
func TestModelRefusesWhatItHas(t *testing.T) {
	f := newFixture(t, nil)
	cfg := accountConfig(f, once.ByEvent)
	cfg.Fold = func(a *account, m consumers.Message) error {
		if a.Sum > 0 {
			return errors.New("the account was opened before")
		}
		return foldAccount(a, m)
	}
	m := newModel(t, cfg)
	for n, id := range []string{"a", "a", "a", "b"} {
		err := m.Handle(t.Context(), deposited(max(1, n), "ada", id, 1))
		switch {
		case n == 0 && err != nil, id == "a" && n > 0 && !errors.Is(err, consumers.ErrStale), id == "b" && !consumers.IsPermanent(err):
			t.Errorf("%s, delivery %d: %v", id, n, err)
		}
	}
}

func TestModelRemembers(t *testing.T) {
	f := newFixture(t, nil)
	cfg := accountConfig(f, once.ByEvent)
	cfg.Remember = 30 * 24 * time.Hour
	if err := newModel(t, cfg).Handle(t.Context(), deposited(1, "ada", "a", 1)); err != nil {
		t.Fatal(err)
	}
	marker := f.get(once.KeyOf("ada", "account#event#a#/bank"))
	if n, _ := dynamo.IntOf(marker, "expires"); time.Until(time.Unix(n, 0)) < 29*24*time.Hour {
		t.Errorf("marker %v", marker)
	}
}
