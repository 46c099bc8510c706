package wire_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

func skip(text []byte) error {
	var s wire.Scanner
	s.Reset(text)
	if err := s.Skip(); err != nil {
		return err
	}
	return s.End()
}

// FuzzScanner accepts every document of UTF-8 that encoding/json accepts, and reads its strings alike.
func FuzzScanner(f *testing.F) {
	for _, s := range []string{`{}`, `[1,-2.5e7,true,false,null,"x"]`, `{"a":{"b":[[]]}}`, `"\u00e9\ud83d\ude00\ud83d\n\/"`,
		`{"a":1,}`, `{"a" 1}`, `[`, `"`, "\"\x01\"", ` "a" `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		err := skip(text)
		if err != nil && json.Valid(text) && utf8.Valid(text) && !strings.Contains(err.Error(), "too deeply") {
			t.Fatalf("%q: %v", text, err)
		}
		var want string
		if !utf8.Valid(text) || json.Unmarshal(text, &want) != nil || !strings.HasPrefix(strings.TrimSpace(string(text)), `"`) {
			return
		}
		var s wire.Scanner
		s.Reset(text)
		if got, err := s.String(); err != nil || got != want {
			t.Fatalf("%q reads as %q (%v), want %q", text, got, err, want)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "plain", "\"\\/\b\f\n\r\t\x00\x1f", "é😀", "\xff\xc3", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got string
		if err := json.Unmarshal(wire.AppendString(nil, text), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); utf8.ValidString(text) && got != want {
			t.Fatalf("%q came back as %q", text, got)
		}
	})
}

func TestDepthIsBounded(t *testing.T) {
	deep := strings.Repeat("[", 100_000)
	if err := skip([]byte(deep)); err == nil {
		t.Error("100,000 open brackets were accepted")
	}
}
