package personal_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/personal"
)

// memory is keys in memory.
type memory struct {
	mu   sync.Mutex
	keys map[string]*personal.Key // nil: erased
	down error
}

func (m *memory) Find(_ context.Context, subject string) (personal.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key, ok := m.keys[subject]
	switch {
	case m.down != nil:
		return personal.Key{}, m.down
	case !ok:
		return personal.Key{}, personal.ErrNoKey
	case key == nil:
		return personal.Key{}, personal.ErrErased
	}
	return *key, nil
}

func (m *memory) Make(ctx context.Context, subject string) (personal.Key, error) {
	key, err := m.Find(ctx, subject)
	if !errors.Is(err, personal.ErrNoKey) {
		return key, err
	}
	secret := make([]byte, personal.KeySize)
	_, _ = rand.Read(secret)
	if key, err = personal.NewKey(secret); err != nil {
		return key, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys[subject] = &key
	return key, nil
}

func newSealer() (personal.Sealer, *memory) {
	keys := &memory{keys: map[string]*personal.Key{}}
	members := []events.PersonalMember{
		{Path: []string{"text"}, Whose: "subject"}, {Path: []string{"to", "name"}, Whose: "user/{id}"},
	}
	return personal.Sealer{Members: func(e events.Event) []events.PersonalMember {
		if e.Type == "plain" {
			return nil
		}
		return members
	}, Keys: keys}, keys
}

func event(data string) events.Event {
	return events.Event{ID: "e-1", Source: "/test", Type: "message", Subject: "user/1", Data: json.RawMessage(data)}
}

func seal(t testing.TB, s personal.Sealer, e events.Event) events.Event {
	t.Helper()
	sealed, err := s.Seal(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// randomValue is any JSON value.
func randomValue(r *mathrand.Rand, depth int) any {
	switch n := r.IntN(7); {
	case n == 0:
		return nil
	case n == 1:
		return r.IntN(2) == 0
	case n == 2:
		return r.NormFloat64()
	case n == 3 && depth > 0:
		list := make([]any, r.IntN(4))
		for i := range list {
			list[i] = randomValue(r, depth-1)
		}
		return list
	case n == 4 && depth > 0:
		object := map[string]any{}
		for range r.IntN(4) {
			object[randomText(r)] = randomValue(r, depth-1)
		}
		return object
	}
	return randomText(r)
}

func randomText(r *mathrand.Rand) string {
	letters := []rune("aé漢😀\"\\\n\u2028\x00$sealed{}")
	text := make([]rune, r.IntN(8))
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return string(text)
}

func TestWhatIsSealedOpens(t *testing.T) {
	seed := mathrand.Uint64()
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	s, _ := newSealer()
	for range 2000 {
		to := map[string]any{"name": randomValue(r, 2), "at": randomValue(r, 1)}
		data, err := json.Marshal(map[string]any{"id": r.IntN(5), "text": randomValue(r, 4), "to": to, "rest": randomValue(r, 3)})
		if err != nil {
			t.Fatal(err)
		}
		e := event(string(data))
		sealed := seal(t, s, e)
		var parts struct {
			Text events.Sealed
			To   struct{ Name any }
		}
		if err := json.Unmarshal(sealed.Data, &parts); err != nil || parts.Text.Sealed == "" && !bytes.Contains(data, []byte(`"text":null`)) {
			t.Fatalf("seed %d: %s was sealed as %s (%v)", seed, data, sealed.Data, err)
		}
		opened, err := s.Open(t.Context(), sealed)
		if err != nil || string(opened.Data) != string(data) {
			t.Fatalf("seed %d: %s was opened as %s (%v)", seed, data, opened.Data, err)
		}
		if again := seal(t, s, sealed); string(again.Data) != string(sealed.Data) {
			t.Fatalf("seed %d: sealed twice: %s", seed, again.Data)
		}
	}
}

func TestTheEnvelopeAndTheRestStay(t *testing.T) {
	s, _ := newSealer()
	e := event(` {"id":7, "text":"geheim","TEXT":"geheim", "to":{"name":"geheim","at":1.0}, "other":"geh" }`)
	sealed := seal(t, s, e)
	if strings.Contains(string(sealed.Data), "geheim") || strings.Count(string(sealed.Data), "$sealed") != 3 ||
		!strings.HasPrefix(string(sealed.Data), ` {"id":7, "text":{"$sealed":"`) || !strings.HasSuffix(string(sealed.Data), `,"at":1.0}, "other":"geh" }`) {
		t.Errorf("sealed as %s", sealed.Data)
	}
	if !strings.Contains(string(sealed.Data), `"subject":"user/7"`) {
		t.Errorf("the name is not sealed for user 7: %s", sealed.Data)
	}
	sealed.Data, e.Data = nil, nil
	if !reflect.DeepEqual(sealed, e) {
		t.Errorf("the envelope is %+v", sealed)
	}
	plain := event(`{"text":"t"}`)
	plain.Type = "plain"
	if got := seal(t, s, plain); string(got.Data) != string(plain.Data) {
		t.Errorf("of a type with nothing personal: %s", got.Data)
	}
}

// TestMovedAndChangedDoesNotOpen moves a ciphertext wherever it fits, and changes each of
// its bytes.
func TestMovedAndChangedDoesNotOpen(t *testing.T) {
	s, _ := newSealer()
	e := seal(t, s, event(`{"id":1,"text":"a","to":{"name":"b"}}`))
	other := seal(t, s, event(`{"id":2,"text":"c","to":{"name":"d"}}`))
	var parts struct {
		Text events.Sealed
		To   struct{ Name events.Sealed }
	}
	if err := json.Unmarshal(e.Data, &parts); err != nil {
		t.Fatal(err)
	}
	text := string(mustMarshal(t, parts.Text))
	refused := func(what string, e events.Event) {
		t.Helper()
		if got, err := s.Open(t.Context(), e); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("%s: opened as %s, %v", what, got.Data, err)
		}
		if _, err := s.Seal(t.Context(), e); !errors.Is(err, events.ErrMalformed) {
			t.Errorf("%s: passed as sealed: %v", what, err)
		}
	}
	for what, change := range map[string]func(*events.Event){
		"another event":  func(e *events.Event) { e.ID = "e-2" },
		"another source": func(e *events.Event) { e.Source = "/other" },
		"another type":   func(e *events.Event) { e.Type = "other" },
		"another member": func(e *events.Event) { e.Data = json.RawMessage(`{"id":1,"text":"a","to":{"name":` + text + `}}`) },
		"another subject": func(e *events.Event) {
			e.Data = bytes.ReplaceAll(e.Data, []byte(`"subject":"user/1"`), []byte(`"subject":"user/2"`))
		},
		"another key": func(e *events.Event) { e.Data = bytes.ReplaceAll(e.Data, []byte(parts.Text.Key), []byte("0123")) },
		"no subject there": func(e *events.Event) {
			e.Data = bytes.ReplaceAll(e.Data, []byte(`"subject":"user/1"`), []byte(`"subject":"user/3"`))
		},
		"a long subject": func(e *events.Event) {
			e.Data = bytes.ReplaceAll(e.Data, []byte(`"subject":"user/1"`), []byte(`"subject":"`+strings.Repeat("x", 3000)+`"`))
		},
		"no base64":   func(e *events.Event) { e.Data = bytes.ReplaceAll(e.Data, []byte(parts.Text.Sealed), []byte("-")) },
		"too short":   func(e *events.Event) { e.Data = bytes.ReplaceAll(e.Data, []byte(parts.Text.Sealed), []byte("AAAA")) },
		"another one": func(e *events.Event) { *e = event(string(other.Data)); e.ID = "e-3" },
	} {
		moved := e
		change(&moved)
		refused(what, moved)
	}
	ciphertext, err := base64.StdEncoding.DecodeString(parts.Text.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	for i := range ciphertext {
		changed := bytes.Clone(ciphertext)
		changed[i] ^= 1 << (i % 8)
		e := e
		e.Data = bytes.ReplaceAll(e.Data, []byte(parts.Text.Sealed), []byte(base64.StdEncoding.EncodeToString(changed)))
		refused(fmt.Sprint("byte ", i, " changed"), e)
	}
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestErased(t *testing.T) {
	s, keys := newSealer()
	before := seal(t, s, event(`{"id":2,"text":"a","to":{"name":"b"}}`))
	keys.keys["user/1"] = nil
	late := seal(t, s, event(`{"id":2,"text":"a","to":{"name":"b"}}`))
	if !strings.Contains(string(late.Data), `"text":{"$sealed":"","subject":"user/1"}`) {
		t.Errorf("a late event is published as %s", late.Data)
	}
	for _, e := range []events.Event{before, late} {
		opened, err := s.Open(t.Context(), e)
		if err != nil || !strings.Contains(string(opened.Data), `"text":{"$sealed":"`) || !strings.Contains(string(opened.Data), `"to":{"name":"b"}`) {
			t.Errorf("%s is opened as %s, %v", e.Data, opened.Data, err)
		}
		if again := seal(t, s, e); string(again.Data) != string(e.Data) {
			t.Errorf("sealed again: %s", again.Data)
		}
	}
}

func TestWhatCannotBeSealed(t *testing.T) {
	s, keys := newSealer()
	for data, want := range map[string]string{
		`{"text":"a","to":{"name":"b"}}`:                 `member "id" is missing`,
		`{"id":"","to":{"name":"b"}}`:                    `member "id" is empty`,
		`{"id":[1],"to":{"name":"b"}}`:                   `member "id" is neither`,
		`{"text":{"$sealed":"eA==","subject":"user/9"}}`: "has no key",
	} {
		if _, err := s.Seal(t.Context(), event(data)); !errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", data, err, want)
		}
	}
	e := event(`{"text":"a"}`)
	e.Subject = ""
	if _, err := s.Seal(t.Context(), e); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("without a subject: %v", err)
	}
	e.Subject = strings.Repeat("x", 1025)
	if _, err := s.Seal(t.Context(), e); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("with a long subject: %v", err)
	}
	sealed := seal(t, s, event(`{"text":"a"}`))
	keys.down = errors.New("throttled")
	for what, do := range map[string]func(context.Context, events.Event) (events.Event, error){"seal": s.Seal, "open": s.Open} {
		e := sealed
		if what == "seal" {
			e = event(`{"text":"a"}`)
		}
		_, err := do(t.Context(), e)
		if !errors.Is(err, keys.down) || errors.Is(err, events.ErrMalformed) || !strings.Contains(err.Error(), `event e-1 of type message: member "text"`) {
			t.Errorf("%s while the keys are down: %v", what, err)
		}
	}
}

func TestKeysAreNotPrinted(t *testing.T) {
	secret := bytes.Repeat([]byte{0xab}, personal.KeySize)
	key, err := personal.NewKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		if text := fmt.Sprintf(verb, key); text != "personal.Key("+key.ID()+")" {
			t.Errorf("%s prints %s", verb, text)
		}
	}
	if _, err := personal.NewKey(secret[1:]); err == nil || strings.Contains(err.Error(), "abab") {
		t.Errorf("a short key: %v", err)
	}
}

// FuzzOpen: whatever stands in an event, opening it ends, keeps everything else, and gives
// nothing that was not sealed there.
func FuzzOpen(f *testing.F) {
	s, _ := newSealer()
	good := seal(f, s, event(`{"id":1,"text":"a","to":{"name":[1,null]}}`))
	f.Add([]byte(good.Data))
	for _, data := range []string{
		``, `{`, `{"text":{"$sealed":"","subject":"user/1"}}`, `{"text":{"$sealed":"AA==","subject":"user/1","key":"x"}}`, `{"to":{"name":{}}}`, `[[[[`,
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			t.Skip()
		}
		opened, err := s.Open(t.Context(), event(string(data)))
		if err != nil {
			if !errors.Is(err, events.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if json.Valid(data) && !json.Valid(opened.Data) {
			t.Fatalf("%q was opened as %q", data, opened.Data)
		}
		if !bytes.Contains(data, []byte("$sealed")) && !bytes.Contains(data, []byte(`\`)) && !bytes.Equal(opened.Data, data) {
			t.Fatalf("%q was changed to %q", data, opened.Data)
		}
	})
}
