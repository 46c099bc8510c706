package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Payload is what an event carries: one version of one type. Declare a struct
// with these four methods and make it known to a [Registry] by [Define].
type Payload interface {
	EventType() string    // such as "user.joined", the same for every value
	EventVersion() int    // from 1, the same for every value
	Subject() string      // the entity of the event, such as "user/42"; may be empty
	PartitionKey() string // events with the same one are ordered among themselves
	// Validate() error, an optional method of a payload, checks what a
	// value must meet beyond its Go type. [New] and every registry call it.
}

// Type is one version of one type of events. Make it with [Define], or with
// [DefineOld] once it has a successor.
type Type struct {
	Name         string
	Version      int
	PartitionKey string  // a description of the partition key
	Example      Payload // complete, with made-up values

	goType   reflect.Type
	required []member // of the data
	personal []PersonalMember
	decode   func(json.RawMessage) (Payload, error)
	lift     func(Payload) (Payload, error) // to the next version; nil: this is the newest
	liftedTo reflect.Type
	err      error // why it cannot be registered
}

// Define describes the newest version of a type by a complete example with
// made-up values and a description of the partition key. Name and version are
// those of the example. [Registry.Decode] returns payloads as P, so a type
// switch names P as it was given here: Define(Placed{...}, ...) gives
// "case Placed", and Define(&Placed{...}, ...), for methods with pointer
// receivers, "case *Placed".
//
// Errors in a definition are returned by [NewRegistry].
func Define[P Payload](example P, partitionKey string) Type {
	t := Type{PartitionKey: partitionKey, Example: example, goType: reflect.TypeFor[P](), decode: decodeData[P]}
	if t.goType.Kind() == reflect.Interface {
		t.err = fmt.Errorf("the example is declared as the interface %s: declare it as its own type", t.goType)
		return t
	}
	if v := reflect.ValueOf(example); v.Kind() == reflect.Pointer && v.IsNil() {
		t.err = fmt.Errorf("the example of %s is nil", t.goType)
		return t
	}
	t.Name, t.Version, t.required = example.EventType(), example.EventVersion(), writtenMembers(zeroValue[P]())
	if t.personal, t.err = personalMembers(t.goType); t.err != nil {
		return t
	}
	for _, m := range t.personal {
		markPersonal(t.required, m.Path)
	}
	if _, ok := any(example).(validator); !ok {
		if _, ok := any(&example).(validator); ok {
			t.err = fmt.Errorf("Validate of %s has a pointer receiver, so that it would not be called: define the type by &%s{}", t.goType, t.goType)
		}
	}
	return t
}

// GoType is the type that was given to [Define]: a struct or a pointer to one, say.
func (t Type) GoType() reflect.Type { return t.goType }

// DefineOld describes a version that has a successor, into which lift converts it:
// the payload of the next version, as that is defined. Keep it as long as an
// event of it may be found on a stream, in an archive or among dead letters.
func DefineOld[Old, New Payload](example Old, partitionKey string, lift func(Old) (New, error)) Type {
	t := Define(example, partitionKey)
	t.liftedTo = reflect.TypeFor[New]()
	t.lift = func(p Payload) (Payload, error) { return lift(p.(Old)) }
	if lift == nil && t.err == nil {
		t.err = errors.New("lift is nil")
	}
	return t
}

func decodeData[P Payload](data json.RawMessage) (Payload, error) {
	if isNull(bytes.TrimSpace(data)) {
		return nil, errors.New("null instead of a payload")
	}
	var p P
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	return p, nil
}

// zeroValue returns the zero value of a payload; where P is a pointer, of its target.
func zeroValue[P Payload]() any {
	if t := reflect.TypeFor[P](); t.Kind() == reflect.Pointer {
		return reflect.New(t.Elem()).Interface()
	}
	var p P
	return p
}

// check reports what is wrong with t on its own.
func (t Type) check() error {
	switch {
	case t.err != nil:
		return t.err
	case t.decode == nil:
		return errors.New("it was not made by Define or DefineOld")
	case t.Version < 1 || t.Version > maxVersion:
		return fmt.Errorf("version %d is not from 1 to %d", t.Version, maxVersion)
	case t.PartitionKey == "":
		return errors.New("the description of the partition key is empty")
	}
	if err := checkString("type", t.Name, true); err != nil {
		return err
	}
	return t.checkExample()
}

// checkExample reports what keeps the example, and thereby any payload, from being
// written as JSON or read again, such as a channel or an embedded pointer to an
// unexported struct.
func (t Type) checkExample() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("a method of %s panicked on the example: %v", t.goType, r)
		}
	}()
	data, err := json.Marshal(t.Example)
	if err != nil {
		return fmt.Errorf("write the example as JSON: %w", err)
	}
	if _, err := t.decode(data); err != nil {
		return fmt.Errorf("read what the example is written as: %w", err)
	}
	if t.personal != nil {
		return t.checkWithheld(data)
	}
	return nil
}

// checkWithheld reports what keeps the example from being read without its personal
// members, as every event of it will be once its subject is erased.
func (t Type) checkWithheld(data json.RawMessage) error {
	e := Event{Subject: t.Example.Subject(), Data: data}
	found := map[string]bool{}
	rest, err := RewritePersonal(data, t.personal, func(m PersonalMember, _ json.RawMessage) (json.RawMessage, error) {
		found[m.String()] = true
		_, err := m.SubjectOf(e)
		return json.RawMessage("null"), err
	})
	if err != nil {
		return fmt.Errorf("the example: %w", err)
	}
	for _, m := range t.personal {
		if !found[m.String()] {
			return fmt.Errorf("the example has nothing in its personal member %q", m)
		}
		if err := t.checkWhose(m); err != nil {
			return err
		}
	}
	p, err := t.decode(rest)
	if err != nil {
		return fmt.Errorf("read the example without its personal members: %w", err)
	}
	if p.Subject() != t.Example.Subject() || p.PartitionKey() != t.Example.PartitionKey() {
		return errors.New("its subject or its partition key depends on a personal member: both are never sealed, so let them depend on an id")
	}
	if t.lift != nil {
		if _, err := t.lift(p); err != nil {
			return fmt.Errorf("lift the example without its personal members: %w", err)
		}
	}
	return nil
}

// checkWhose makes sure that whose a member is can be read when that person's members
// are sealed.
func (t Type) checkWhose(m PersonalMember) error {
	names, err := whoseMembers(m.Whose)
	for _, other := range t.personal {
		if slices.Contains(names, other.Path[0]) {
			return fmt.Errorf("personal member %q is about %q, and %q is personal itself", m, m.Whose, other.Path[0])
		}
	}
	return err
}

// markPersonal marks the member at the end of the path, which may be sealed.
func markPersonal(members []member, path []string) {
	i := slices.IndexFunc(members, func(m member) bool { return m.name == path[0] })
	switch {
	case i < 0:
	case len(path) == 1:
		members[i].personal = true
	default:
		markPersonal(members[i].members, path[1:])
	}
}
