package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/config"
)

const hidden = "hunter2-hunter2"

// TestSecretsDoNotShow: by whatever way a secret gets to a log.
func TestSecretsDoNotShow(t *testing.T) {
	s := config.NewSecret(hidden)
	type holder struct {
		Public  string
		Secret  config.Secret
		Pointer *config.Secret
		private config.Secret
	}
	h := holder{"public", s, &s, s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%10s", "%-5.2v"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", s, &s, []config.Secret{s})
		fmt.Fprintf(&out, verb+" "+verb+"\n", h, &h)
	}
	fmt.Fprintln(&out, s, h.private, s.String(), map[string]config.Secret{"k": s}, errors.New("x: "+fmt.Sprint(s)),
		fmt.Errorf("y: %w %v", errors.ErrUnsupported, s))
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).With("with", s).WithGroup("g").Info("m", "secret", s, "pointer", &s, "holder", h, "any", slog.AnyValue(s), "list", []config.Secret{s})
	}
	for _, v := range []any{s, &s, h, map[string]any{"k": s}, map[config.Secret]int{s: 1}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	text, err := xml.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	for _, bad := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden)} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("%q shows in\n%s", bad, out.String())
		}
	}
	if strings.Count(out.String(), config.Redacted) < 40 || !strings.Contains(out.String(), "public") {
		t.Errorf("not much was shown at all:\n%s", out.String())
	}
	if s.Reveal() != hidden || s != config.NewSecret(hidden) || s == config.NewSecret("other") {
		t.Error("the secret itself is lost")
	}
}

func TestReferences(t *testing.T) {
	for text, good := range map[string]bool{
		"ssm:/banyan/prod/mongodb-uri": true, "ssm:plain": true, "ssm:/banyan/x:3": true,
		"ssm:arn:aws:ssm:eu-west-1:123456789012:parameter/banyan/x": true,
		"secret:banyan/prod/mongodb":                                true, "secret:banyan/prod/mongodb#uri": true,
		"ssm:": false, "secret:": false, "secret:#uri": false, "secret:x#": false, "ssm:/a b": false, "ssm:/ä": false, "ssm:/a\n": false,
		"": false, "mongodb://u:" + hidden + "@h/db": false, "SSM:/x": false, "ssm:" + strings.Repeat("x", 2049): false,
	} {
		r, err := config.ParseReference(text)
		if (err == nil) != good || err != nil && !errors.Is(err, config.ErrReference) || good && r.String() != text {
			t.Errorf("%.60q: %v, %v", text, r, err)
		}
		if err != nil && strings.Contains(err.Error(), hidden) {
			t.Errorf("the error shows a value that is no reference: %v", err)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"ssm:/a", "secret:a#b", "secret:a##b", "x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := config.ParseReference(s)
		if err == nil && (r.String() != s || !config.IsReference(s)) {
			t.Errorf("%q was read as %q", s, r)
		}
	})
}
