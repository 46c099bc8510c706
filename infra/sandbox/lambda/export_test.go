package lambda

// ParseReference lets the tests of the external package read function names.
func ParseReference(text, given string) (name, qualifier string, err error) {
	ref, err := parseReference(text, given)
	return ref.name, ref.qualifier, err
}
