// Package personal makes what events say about a person unreadable for ever, on demand.
//
// A type declares which of its members are personal, by a tag (see
// [events.PersonalMember]):
//
//	type MessageSent struct {
//		From string `json:"from"`
//		To   string `json:"to"`
//		Text string `json:"text" personal:"user/{from}"`
//		Name string `json:"name" personal:"subject"` // that of the event
//	}
//
// A [Sealer] seals these members when the event is made, before it reaches an outbox, the
// spool or the stream, each with AES-256-GCM and the key of the person whom it is about
// (package keytable keeps the keys). Consumers open them before the payload is decoded. Once
// the key is thrown away nobody can, wherever a copy lies: on the stream, in the spool, in
// an outbox, in an archive, among dead letters.
//
// # What is sealed
//
// The value of a member, whatever JSON it is, except null. In its place stands an object,
// which the JSON Schema of the type allows, so that the event stays a CloudEvent that
// tools can read and check:
//
//	"text": {"$sealed": "<base64>", "subject": "user/42", "key": "5f0c..."}
//
// The event's source and id, its type, the path of the member and the subject are
// authenticated with it: a ciphertext that was moved to another event or member does not open.
//
// # Erased subjects
//
// Facts about a person go on after the erasure: an outbox still has some, a monolith is slow,
// another person deletes what they had in common. An event for an erased subject is
// published, with {"$sealed": "", "subject": ...} for the member. Refusing it would hold up
// what is behind it in the relay, and lose a fact that others need (a counter, say); what
// consumers see is the same as of an event from before the erasure.
//
// A consumer is handed such an event as any other: the members are zero in its payload, and
// its Message says Withheld. A subject stays erased: who comes back needs a new id.
//
// # Caveats
//
//   - Subjects, ids and everything else of the envelope are not sealed. An address or a name
//     must not be a subject or a partition key.
//   - The length of what is sealed can be seen, as can whether it is null.
//   - A process may use a key for as long as its cache does, see keytable.Config.MaxAge,
//     after the erasure.
//   - What consumers wrote from the payload is theirs to delete, see the README beside this file.
//   - An event that was published before its publisher had a Sealer is readable for as long as
//     it is kept.
package personal
