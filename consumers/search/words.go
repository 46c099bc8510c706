package search

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// MaxWord is how many letters of a word count.
const MaxWord = 32

// letters are those that no decomposition takes apart, but that keyboards elsewhere lack.
var letters = strings.NewReplacer("ø", "o", "ł", "l", "đ", "d", "ð", "d", "þ", "th", "æ", "ae", "œ", "oe", "ı", "i",
	"'", "", "’", "", "ʼ", "")

// Words are the words of a text, each once, in their order, at most MaxWords. They are folded:
// by compatibility (NFKD), without accents and case, by Unicode's tables. An apostrophe joins
// (O'Brien is obrien), everything else that is neither letter nor digit divides.
func Words(text string) []string {
	text = letters.Replace(cases.Fold().String(norm.NFKD.String(strings.ToValidUTF8(text, " "))))
	var all []string
	seen := map[string]bool{}
	var word []rune
	end := func() {
		if w := string(word); w != "" && !seen[w] && len(all) < MaxWords {
			seen[w] = true
			all = append(all, w)
		}
		word = word[:0]
	}
	for _, r := range text {
		switch {
		case isDropped(r):
		case isWhole(r):
			end()
			word = append(word, r)
			end()
		case unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r):
			if len(word) < MaxWord {
				word = append(word, r)
			}
		default:
			end()
		}
	}
	end()
	return slices.Clip(all)
}

// isDropped reports whether a rune is left out of its word: marks that letters of several scripts
// have, such as accents, the points of Hebrew, and what joins or parts letters without a width.
// Marks of other scripts are their vowels.
func isDropped(r rune) bool {
	return unicode.IsMark(r) && unicode.In(r, unicode.Inherited, unicode.Hebrew) || r == '\u200c' || r == '\u200d'
}

// isWhole reports whether a rune is a word by itself: in writing without spaces, and emoji. The
// colours of skin are signs that modify (Sk), and divide.
func isWhole(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.So)
}
