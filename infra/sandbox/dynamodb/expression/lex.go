package expression

import (
	"strings"
)

type tokenKind uint8

const (
	end         tokenKind = iota
	word                  // a bare attribute name, keyword or function name
	namePlace             // #name
	valuePlace            // :value
	index                 // digits
	punctuation           // ( ) , . [ ] = <> < <= > >= + -
	illegal
)

type token struct {
	kind  tokenKind
	text  string
	start int
	stop  int
}

// lex splits an expression; the last token is of kind end.
func lex(text string) []token {
	tokens := make([]token, 0, len(text)/3+2)
	for i := 0; i < len(text); {
		if isSpace(text[i]) {
			i++
			continue
		}
		kind, n := scan(text[i:])
		tokens = append(tokens, token{kind, text[i : i+n], i, i + n})
		i += n
	}
	return append(tokens, token{end, "<EOF>", len(text), len(text)})
}

func scan(rest string) (tokenKind, int) {
	c := rest[0]
	switch {
	case isLetter(c):
		return word, run(rest, 1)
	case isDigit(c):
		n := 1
		for n < len(rest) && isDigit(rest[n]) {
			n++
		}
		return index, n
	case (c == '#' || c == ':') && len(rest) > 1 && isWord(rest[1]):
		if c == '#' {
			return namePlace, run(rest, 1)
		}
		return valuePlace, run(rest, 1)
	case strings.HasPrefix(rest, "<>"), strings.HasPrefix(rest, "<="), strings.HasPrefix(rest, ">="):
		return punctuation, 2
	case strings.IndexByte("(),.[]=<>+-", c) >= 0:
		return punctuation, 1
	}
	n := 1
	for n < len(rest) && rest[n]&0xc0 == 0x80 { // the rest of a UTF-8 sequence
		n++
	}
	return illegal, n
}

func run(s string, n int) int {
	for n < len(s) && isWord(s[n]) {
		n++
	}
	return n
}

func isSpace(c byte) bool  { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isWord(c byte) bool   { return isLetter(c) || isDigit(c) || c == '_' }
