package diff

import (
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// secretWords are the parts of names, lower case without punctuation, whose values are
// always removed.
var secretWords = []string{"password", "passwd", "passphrase", "pwd", "secret", "token", "apikey", "accesskey",
	"privatekey", "authorization", "signature", "cookie", "session", "jwt", "credential", "csrf", "xsrf", "otp",
	"pincode", "cvv", "cvc", "cardnumber", "iban", "ssn", "email", "phone", "birth"}

// Secrets removes secrets from what is kept of answers: by the names of members,
// parameters and headers, and by shape wherever they stand (JWTs, Bearer and Basic
// credentials, e-mail addresses, payment card numbers, opaque texts of 32 characters
// and more that are no UUID). It cannot know a person's name or a street: name those
// members, or "*". Safe for concurrent use.
type Secrets struct {
	words []string
	all   bool
}

// NewSecrets adds names to those that are always removed; "*" removes all values.
func NewSecrets(names []string) *Secrets {
	s := &Secrets{words: slices.Clone(secretWords)}
	for _, n := range names {
		if n == "*" {
			s.all = true
		} else if w := letters(n); w != "" {
			s.words = append(s.words, w)
		}
	}
	return s
}

// letters is a name in lower case, without what separates words.
func letters(name string) string {
	return strings.Map(func(c rune) rune {
		if c == '_' || c == '-' || c == '.' || c == '[' || c == ']' || c == ' ' {
			return -1
		}
		return c
	}, strings.ToLower(name))
}

func (s *Secrets) named(name string) bool {
	name = letters(name)
	return slices.ContainsFunc(s.words, func(w string) bool { return strings.Contains(name, w) })
}

// What stands for a value that was removed.
const removed = "(removed)"

var (
	// name=value, "name": "value", <name>value; what is in brackets is removed to the end.
	pairName  = regexp.MustCompile(`([\w.\[\]-]+)"?\s*[:=>]\s*`)
	pairValue = regexp.MustCompile(`(?i)^(?:[\[{](?s:.*)|"(?:[^"\\]|\\.)*"?|(?:(?:bearer|basic|token)\s+)?[^"&<\s;,]+)`)

	plainName = regexp.MustCompile(`^[A-Za-z_][\w-]{0,63}$`)
	uuid      = regexp.MustCompile(`^(?i)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	mail      = regexp.MustCompile(`[\w.%+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+`)
	bearer    = regexp.MustCompile(`(?i)\b(?:bearer|basic|digest)\s+[\w.~+/=-]{6,}`)
	jwt       = regexp.MustCompile(`\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*`)
	opaque    = regexp.MustCompile(`[\w+/=-]{32,}`)
	card      = regexp.MustCompile(`\b[2-6]\d(?:[ -]?\d){12,17}\b`)
)

// isID reports whether a member's name is rather a key of a map than a name.
func isID(name string) bool {
	digits := strings.Trim(name, "0123456789")
	return name != "" && digits == "" || uuid.MatchString(name) || mail.MatchString(name) || shapes(name) != name
}

// shapes removes what looks like a secret anywhere in a text.
func shapes(text string) string {
	if strings.Contains(text, "@") || strings.Contains(text, "%40") {
		text = mail.ReplaceAllString(text, removed)
	}
	if strings.Contains(text, "eyJ") {
		text = jwt.ReplaceAllString(text, removed)
	}
	text = bearer.ReplaceAllString(text, removed)
	text = opaque.ReplaceAllStringFunc(text, func(m string) string {
		digit, lower, upper := strings.ContainsAny(m, "0123456789"), strings.ToUpper(m) != m, strings.ToLower(m) != m
		isPath := strings.Contains(m, "/") && !(lower && upper) // rather than base64
		if uuid.MatchString(m) || isPath || !digit || !lower && !upper {
			return m
		}
		return removed
	})
	return card.ReplaceAllStringFunc(text, func(m string) string {
		if luhn(m) {
			return removed
		}
		return m
	})
}

// luhn is the check digit of payment cards (ISO/IEC 7812-1).
func luhn(number string) bool {
	sum, n := 0, 0
	for i := len(number) - 1; i >= 0; i-- {
		if number[i] < '0' || number[i] > '9' {
			continue
		}
		d := int(number[i] - '0')
		if n%2 == 1 {
			d = d*2/10 + d*2%10
		}
		sum += d
		n++
	}
	return sum%10 == 0
}

// Text removes secrets from a text of any form: cut JSON, a form, XML, a page.
func (s *Secrets) Text(text string) string {
	if s.all && text != "" {
		return removed
	}
	return shapes(s.withoutNamed(text))
}

// Brief removes secrets from a text of any form and cuts it to the length of the values
// in a Difference.
func (s *Secrets) Brief(text string) string { return cleanCut(text, true, maxShown, s.Text) }

// withoutNamed removes the values that stand beside a secret's name.
func (s *Secrets) withoutNamed(text string) string {
	var out strings.Builder
	for {
		at := pairName.FindStringSubmatchIndex(text)
		if at == nil {
			return out.String() + text
		}
		out.WriteString(text[:at[1]])
		if value := pairValue.FindString(text[at[1]:]); value != "" && s.named(text[at[2]:at[3]]) {
			out.WriteString(removed)
			at[1] += len(value)
		}
		text = text[at[1]:]
	}
}

// edge is more than what of a secret is too short to be known by its shape.
const edge = 256

// cleanCut removes secrets from a text with clean and cuts it to n bytes, at the cost
// of n bytes. A secret that lies across the cut, or across the end of a text that is not
// whole, is not shown in part.
func cleanCut(text string, whole bool, n int, clean func(string) string) string {
	if whole && len(text) <= n+edge {
		return cut(clean(strings.ToValidUTF8(text, "?")), n)
	}
	text = clean(strings.ToValidUTF8(text[:min(len(text), n+edge)], "?"))
	return cut(text, min(n, max(0, len(text)-edge)))
}

// Target removes secrets from a request's target, segment by segment and parameter by
// parameter, as it is written.
func (s *Secrets) Target(target string) string {
	path, query, asked := strings.Cut(target, "?")
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = s.part(p)
	}
	out := strings.Join(parts, "/")
	if !asked {
		return out
	}
	pairs := strings.Split(query, "&")
	for i, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || s.all || s.named(plain) {
			value = removed
		}
		if pairs[i] = shapes(name); strings.Contains(p, "=") {
			pairs[i] += "=" + s.part(value)
		}
	}
	return s.withoutNamed(out + "?" + strings.Join(pairs, "&")) // a fragment's, too
}

// part keeps an escaped text as it is written when there is no secret in it.
func (s *Secrets) part(text string) string {
	plain, err := url.PathUnescape(text)
	if err != nil || shapes(plain) != plain {
		return removed
	}
	return text
}

// Header removes secrets from the value of a header, by the name as http.Header has it.
func (s *Secrets) Header(name, value string) string {
	switch {
	case value != "" && (s.all || s.named(name)):
		return removed
	case name == "Location" || name == "Content-Location":
		return s.Target(value)
	}
	return s.Text(value)
}

func (s *Secrets) header(name, value string) string {
	if name == "Set-Cookie" { // of which there are only the names
		name = ""
	}
	return cut(s.Header(name, value), maxShown)
}

// Body is a body for a sample: the JSON without secrets where it is whole and JSON, a
// text otherwise, and at most limit bytes of it.
func (s *Secrets) Body(a Answer, limit int) any {
	a = a.unpack()
	if v, ok := decode(a.Body, !a.Capped && a.looksLikeJSON()); ok {
		out := s.appendJSON(nil, "", v, limit)
		if len(out) > limit {
			return cut(string(out), limit)
		}
		return json.RawMessage(out)
	}
	return cleanCut(string(a.Body), !a.Capped, limit, s.Text)
}

// appendJSON writes a value without secrets; it stops soon after limit bytes, in the
// middle.
func (s *Secrets) appendJSON(dst []byte, name string, v any, limit int) []byte {
	n, isNumber := v.(json.Number)
	_, isText := v.(string)
	if s.named(name) && v != nil || s.all && (isText || isNumber) || isNumber && shapes(string(n)) != string(n) {
		return append(dst, `"`+removed+`"`...)
	}
	switch v := v.(type) {
	case map[string]any:
		dst = append(dst, '{')
		for i, member := range slices.Sorted(maps.Keys(v)) {
			if len(dst) > limit {
				return dst
			}
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, shapes(member)), ':')
			dst = s.appendJSON(dst, member, v[member], limit)
		}
		return append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, item := range v {
			if len(dst) > limit {
				return dst
			}
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = s.appendJSON(dst, "", item, limit)
		}
		return append(dst, ']')
	case string:
		return appendString(dst, cleanCut(v, true, limit+1, shapes))
	case json.Number:
		return append(dst, v...)
	case bool:
		return strconv.AppendBool(dst, v)
	}
	return append(dst, "null"...)
}

func appendString(dst []byte, s string) []byte {
	quoted, _ := json.Marshal(strings.ToValidUTF8(s, "?")) // no text fails
	return append(dst, quoted...)
}

// cut shortens a text to at most n bytes, between characters, and marks it.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	n = max(0, n-len("…"))
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n] + "…"
}
