package cases

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
)

const removed = "(removed)"

// values are texts that were removed from one message of a case, by their name. They are removed
// from all: a mapping gives a token another name.
type values map[string]bool

func (v values) add(text string) {
	if len(text) >= 6 && text != removed {
		v[text] = true
	}
}

// query adds the parameters of a target that were removed.
func (v values) query(raw, clean string) {
	_, raw, _ = strings.Cut(raw, "?")
	_, clean, _ = strings.Cut(clean, "?")
	was, _ := url.ParseQuery(raw)
	is, _ := url.ParseQuery(clean)
	for name, texts := range was {
		for i, text := range texts {
			if now := is[name]; i >= len(now) || now[i] != text {
				v.add(text)
			}
		}
	}
}

// header adds the words of a header that was removed: a token behind its scheme, the values of
// cookies.
func (v values) header(raw, clean string) {
	if raw == clean {
		return
	}
	for word := range strings.FieldsFuncSeq(raw, func(r rune) bool { return strings.ContainsRune(" ;,", r) }) {
		if _, value, isPair := strings.Cut(word, "="); isPair && value != "" && !strings.HasSuffix(word, "=") {
			word = value
		}
		if strings.ContainsAny(word, "0123456789") {
			v.add(word)
		}
	}
}

// body adds the texts of a JSON body that its clean form has not.
func (v values) body(raw, clean []byte) {
	if was, ok := decode(raw); ok {
		is, _ := decode(clean)
		v.compare(was, is)
	}
}

func decode(src []byte) (v any, ok bool) {
	d := json.NewDecoder(bytes.NewReader(src))
	d.UseNumber()
	return v, d.Decode(&v) == nil && !d.More()
}

func (v values) compare(was, is any) {
	switch was := was.(type) {
	case map[string]any:
		now, _ := is.(map[string]any)
		for name, member := range was {
			v.compare(member, now[name])
		}
	case []any:
		now, _ := is.([]any)
		for i, item := range was {
			if i < len(now) {
				v.compare(item, now[i])
			} else {
				v.compare(item, nil)
			}
		}
	case string:
		if is != any(was) {
			v.add(was)
		}
	}
}

// remove removes them from a message: as whole texts from JSON, anywhere from the rest, where
// one with a digit is no common word.
func (v values) remove(m *Message) {
	if m == nil || len(v) == 0 {
		return
	}
	m.Target = v.anywhere(m.Target)
	for _, lines := range m.Header {
		for i := range lines {
			lines[i] = v.anywhere(lines[i])
		}
	}
	body, isJSON := decode([]byte(m.Body))
	if !isJSON {
		m.Body = v.anywhere(m.Body)
		return
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if e.Encode(v.within(body)) == nil {
		m.Body = strings.TrimSuffix(out.String(), "\n")
	}
}

func (v values) anywhere(text string) string {
	for secret := range v {
		if strings.ContainsAny(secret, "0123456789") {
			text = strings.ReplaceAll(strings.ReplaceAll(text, secret, removed), url.QueryEscape(secret), removed)
		}
	}
	return text
}

func (v values) within(body any) any {
	switch body := body.(type) {
	case map[string]any:
		for name, member := range body {
			body[name] = v.within(member)
		}
	case []any:
		for i, item := range body {
			body[i] = v.within(item)
		}
	case string:
		if v[body] {
			return removed
		}
	}
	return body
}
