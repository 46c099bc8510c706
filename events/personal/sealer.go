package personal

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/events"
)

// Sealer seals and opens the personal members of events. Both fields are required. Safe for
// concurrent use.
type Sealer struct {
	// Members lists the personal members of the type of an event, such as
	// [events.Registry.Personal], or that of a schema.Document for programs without Go types.
	Members func(events.Event) []events.PersonalMember
	// Keys has the subjects' keys.
	Keys Keys
}

// Seal returns e with its personal members sealed, and those of erased subjects left out.
// What is sealed already stays. Call it before the event is encoded for the first time:
// an event that is sealed twice has other bytes each time.
//
// It fails with [events.ErrMalformed] where the event does not say whom a member is about, or
// has a member that looks sealed and is not, and with the error of Keys, after which a later
// call may succeed.
func (s Sealer) Seal(ctx context.Context, e events.Event) (events.Event, error) {
	return s.rewrite(e, "seal", func(m events.PersonalMember, value json.RawMessage) (json.RawMessage, error) {
		if sealed, ok := events.ParseSealed(string(value)); ok {
			_, err := s.open(ctx, &e, m, sealed)
			return value, err
		}
		subject, err := m.SubjectOf(e)
		if err == nil {
			err = checkSubject(subject)
		}
		if err != nil {
			return nil, err
		}
		key, err := s.Keys.Make(ctx, subject)
		sealed := events.Sealed{Subject: subject}
		switch {
		case err == nil:
			sealed.Key = key.id
			sealed.Sealed = base64.StdEncoding.EncodeToString(key.aead.Seal(nil, nil, value, additional(&e, m, subject)))
		case !errors.Is(err, ErrErased):
			return nil, err
		}
		return json.Marshal(sealed)
	})
}

// Open returns e with its personal members as they were before they were sealed, but for
// those of erased subjects, which stay sealed: see [events.Registry.Withholds].
//
// It fails with [events.ErrMalformed] where a member was not sealed in this event, by this key,
// and with the error of Keys, after which a later call may succeed.
func (s Sealer) Open(ctx context.Context, e events.Event) (events.Event, error) {
	return s.rewrite(e, "open", func(m events.PersonalMember, value json.RawMessage) (json.RawMessage, error) {
		sealed, ok := events.ParseSealed(string(value))
		if !ok {
			return value, nil
		}
		plain, err := s.open(ctx, &e, m, sealed)
		if plain == nil {
			return value, err
		}
		return plain, err
	})
}

// replacing returns what stands in the place of a member.
type replacing func(m events.PersonalMember, value json.RawMessage) (json.RawMessage, error)

func (s Sealer) rewrite(e events.Event, what string, replace replacing) (events.Event, error) {
	members := s.Members(e)
	if len(members) == 0 {
		return e, nil
	}
	data, err := events.RewritePersonal(e.Data, members, func(m events.PersonalMember, value json.RawMessage) (json.RawMessage, error) {
		replaced, err := replace(m, value)
		if err != nil {
			err = fmt.Errorf("member %q: %w", m, err)
		}
		return replaced, err
	})
	if err != nil {
		return e, fmt.Errorf("personal: %s event %s of type %s: %w", what, e.ID, e.Type, err)
	}
	e.Data = data
	return e, nil
}

// open returns nil, and no error, for a subject that was erased.
func (s Sealer) open(ctx context.Context, e *events.Event, m events.PersonalMember, sealed events.Sealed) (json.RawMessage, error) {
	if sealed.Sealed == "" {
		return nil, nil
	}
	if err := checkSubject(sealed.Subject); err != nil {
		return nil, err
	}
	key, err := s.Keys.Find(ctx, sealed.Subject)
	switch {
	case errors.Is(err, ErrErased):
		return nil, nil
	case errors.Is(err, ErrNoKey):
		return nil, fmt.Errorf("%w: it was sealed by key %.64q of subject %.200q: %w (another table of keys?)",
			events.ErrMalformed, sealed.Key, sealed.Subject, err)
	case err != nil:
		return nil, err
	case key.id != sealed.Key:
		return nil, fmt.Errorf("%w: it was sealed by key %.64q of subject %.200q, whose key is %s (another table of keys?)",
			events.ErrMalformed, sealed.Key, sealed.Subject, key.id)
	}
	ciphertext, err := base64.StdEncoding.DecodeString(sealed.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: its ciphertext is not base64: %w", events.ErrMalformed, err)
	}
	plain, err := key.aead.Open(nil, nil, ciphertext, additional(e, m, sealed.Subject))
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or sealed in another event or member: %w", events.ErrMalformed, err)
	}
	return plain, nil
}

// maxSubject bounds a subject in bytes, so that it can be a key of a database.
const maxSubject = 1024

func checkSubject(subject string) error {
	if len(subject) > maxSubject {
		return fmt.Errorf("%w: its subject has %d bytes, at most %d are allowed", events.ErrMalformed, len(subject), maxSubject)
	}
	return nil
}

// additional is what is authenticated with a member: its place. No two places have the same.
func additional(e *events.Event, m events.PersonalMember, subject string) []byte {
	b, _ := json.Marshal(append([]string{"1", e.Source, e.ID, e.Type, subject}, m.Path...)) // texts
	return b
}
