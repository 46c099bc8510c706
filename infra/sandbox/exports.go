package sandbox

import "strings"

// Exports is Env as a shell reads it: one "export NAME=value" each, quoted
// where a POSIX shell or zsh would take a character for something else.
func (s *Sandbox) Exports() []string {
	var out []string
	for _, kv := range s.Env() {
		name, value, _ := strings.Cut(kv, "=")
		out = append(out, "export "+name+"="+quoted(value))
	}
	return out
}

// quoted is a word for any POSIX shell.
func quoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@,+%", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
