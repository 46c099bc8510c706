package config

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
)

// Redacted is how a Secret shows itself.
const Redacted = "[redacted]"

// Secret is a text that shows itself as [Redacted] whatever is done with it: fmt
// with any verb, slog, JSON, text and errors. Only Reveal gives the text. The zero
// value is the empty secret. Secrets are compared with ==.
type Secret struct {
	// A handle holds a pointer. fmt prints fields that are not exported without
	// asking their methods, and so would show a string here.
	text unique.Handle[string]
}

// NewSecret hides text.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{unique.Make(text)}
}

// Reveal is the text.
func (s Secret) Reveal() string {
	if s == (Secret{}) {
		return ""
	}
	return s.text.Value()
}

// String implements fmt.Stringer.
func (Secret) String() string { return Redacted }

// Format implements fmt.Formatter, so that no verb shows the text.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Redacted) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(Redacted) }

// MarshalText implements encoding.TextMarshaler, for JSON, XML, YAML and logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(Redacted), nil }
