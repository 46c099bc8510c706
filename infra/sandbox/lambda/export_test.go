package lambda

import "time"

// EventCondition is why an event is given up on.
func EventCondition(retries int, most time.Duration, failures int, age time.Duration) string {
	return eventSettings{retries: retries, age: most}.condition(failures, age)
}

// ParseReference lets the tests of the external package read function names.
func ParseReference(text, given string) (name, qualifier string, err error) {
	ref, err := parseReference(text, given)
	return ref.name, ref.qualifier, err
}
