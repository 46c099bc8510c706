package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrUnknownType is returned for a type or a version that is not in the
// catalogue. The event is fine, its reader is too old or not concerned.
var ErrUnknownType = errors.New("unknown event type")

// Entry describes one version of one type of the catalogue.
type Entry struct {
	Type         string
	Version      int
	PartitionKey string  // what the partition key is, in words
	Example      Payload // complete, with made-up values
	empty        func() Payload
}

// Catalogue lists every version of every type ever published, in no order that
// means anything. An entry is never removed: the events stay on the stream, in
// archives and in dead letters.
func Catalogue() []Entry {
	noon := time.Date(2016, 11, 21, 12, 0, 0, 0, time.UTC)
	const ada, bob = "59b99db4cfa9a34dcd7885b6", "59b99db5cfa9a34dcd7885b7"
	return []Entry{
		entry("the user's id",
			UserJoined{UserID: ada, Name: "Ada", JoinedAt: noon}),
		entry("the user's id",
			UserProfileUpdated{UserID: ada, Name: "Ada L.", Bio: "writes programs", Version: 2}),
		entry("the follower's id",
			RelationshipFollowed{FollowerID: ada, FolloweeID: bob, At: noon}),
		entry("the follower's id",
			RelationshipUnfollowed{FollowerID: ada, FolloweeID: bob, At: noon}),
		entry("the author's id",
			PostPublished{PostID: "0158864a-9a00-7000-8000-000000000001", AuthorID: ada, Text: "hello", PublishedAt: noon}),
	}
}

// entry needs P as a value type whose pointer is a Payload as well.
func entry[P Payload](key string, example P) Entry {
	return Entry{
		Type:         example.EventType(),
		Version:      example.EventVersion(),
		PartitionKey: key,
		Example:      example,
		empty:        func() Payload { return any(new(P)).(Payload) },
	}
}

type kind struct {
	name    string
	version int
}

// catalogue is written once and only read afterwards.
var catalogue = index(Catalogue())

func index(entries []Entry) map[kind]func() Payload {
	byKind := make(map[kind]func() Payload, len(entries))
	for _, e := range entries {
		byKind[kind{e.Type, e.Version}] = e.empty
	}
	return byKind
}

// Payload returns what e tells as the type of the catalogue, a pointer such as
// *[UserJoined]. It fails with [ErrUnknownType] when the catalogue has no such
// type and version, and with [ErrMalformed] when the data does not fit it.
// Members that the type does not have are skipped.
func (e Event) Payload() (Payload, error) {
	empty, ok := catalogue[kind{e.Type, e.Version}]
	if !ok {
		return nil, fmt.Errorf("events: payload of event %s: %w: %q version %d",
			shorten(e.ID), ErrUnknownType, shorten(e.Type), e.Version)
	}
	p := empty()
	if err := json.Unmarshal(e.Data, p); err != nil {
		return nil, fmt.Errorf("events: payload of event %s (%s version %d): %w: %w",
			shorten(e.ID), e.Type, e.Version, ErrMalformed, err)
	}
	return p, nil
}
