package consumers

import "fmt"

// Policy says what becomes of an event that cannot be decoded or handled.
type Policy int

const (
	// KeepDeadLetter writes the event to the dead letters, and later events of its key
	// are handled without it.
	KeepDeadLetter Policy = iota
	// Halt reports the event as failed, so that its shard waits for it.
	Halt
)

var policyNames = map[Policy]string{KeepDeadLetter: "dead-letter", Halt: "halt"}

// String is "dead-letter" or "halt".
func (p Policy) String() string {
	if name, ok := policyNames[p]; ok {
		return name
	}
	return fmt.Sprintf("Policy(%d)", int(p))
}

// UnmarshalText reads what String wrote.
func (p *Policy) UnmarshalText(text []byte) error {
	for policy, name := range policyNames {
		if name == string(text) {
			*p = policy
			return nil
		}
	}
	return fmt.Errorf("invalid policy %q: must be dead-letter or halt", text)
}
