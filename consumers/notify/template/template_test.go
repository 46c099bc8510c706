package template_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/template"
)

const follow = `
channels: [apns, ses]
members: [who, city]
default: en
locales:
  en:
    title: "{{.who}} follows you"
    body: "{{if .city}}From {{.city}}.{{else}}Say hello.{{end}}"
    html: "<p>{{.who}}</p>"
    data: {screen: "profile/{{.who}}"}
  de: {title: "{{.who}} folgt dir"}
`

func TestRender(t *testing.T) {
	set, err := template.Load(fstest.MapFS{"follow.yaml": {Data: []byte(follow)}, "README.md": {}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := set["follow"].Render("fr", map[string]string{"who": `<b>"Bob"`, "city": ""})
	if err != nil || m.Title != `<b>"Bob" follows you` || m.Body != "Say hello." ||
		m.HTML != "<p>&lt;b&gt;&#34;Bob&#34;</p>" || m.Data["screen"] != `profile/<b>"Bob"` {
		t.Errorf("%+v, %v", m, err)
	}
	for locale, want := range map[string]string{
		"de": "Bob folgt dir", "de-AT": "Bob folgt dir", "de_AT": "Bob folgt dir", "": "Bob follows you", "d": "Bob follows you",
	} {
		if m, err := set["follow"].Render(locale, map[string]string{"who": "Bob", "city": "Wien"}); err != nil || m.Title != want {
			t.Errorf("%q: %q, %v", locale, m.Title, err)
		}
	}
	for name, members := range map[string]map[string]string{
		"a missing member": {"who": "Bob"}, "a long member": {"who": strings.Repeat("x", template.MaxValue+1), "city": ""},
	} {
		if _, err := set["follow"].Render("en", members); err == nil || strings.Contains(err.Error(), "xxx") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestMistakesAreFoundWhenLoaded: no event is needed to find them.
func TestMistakesAreFoundWhenLoaded(t *testing.T) {
	for text, want := range map[string]string{
		`{locales: {en: {title: x}}}`:                                                      "channels are required",
		`{channels: [fax], locales: {en: {title: x}}}`:                                     `unknown channel "fax"`,
		`{channels: [fcm], locales: {en: {title: "{{.who}}"}}}`:                            "not declared under members",
		`{channels: [fcm], locales: {en: {title: "{{if .who}}x{{end}}"}}}`:                 "not declared under members",
		`{channels: [fcm], locales: {en: {title: x, data: {a: "{{.who}}"}}}}`:              "not declared under members",
		`{channels: [fcm], members: [a], locales: {en: {title: "{{range .a}}{{end}}"}}}`:   "only members",
		`{channels: [fcm], members: [a], locales: {en: {title: "{{printf \"%9d\" .a}}"}}}`: `"printf" not defined`,
		`{channels: [fcm], members: [a], locales: {en: {title: "{{.a.b}}"}}}`:              "only a member",
		`{channels: [fcm], locales: {en: {title: "{{define \"x\"}}y{{end}}z"}}}`:           "not supported",
		`{channels: [fcm], locales: {en: {title: "{{"}}}`:                                  "unclosed action",
		`{channels: [fcm], locales: {en: {body: x}}}`:                                      "a title is required",
		`{channels: [fcm], locales: {en: {title: x}, de: {title: y}}}`:                     "default must name",
		`{channels: [fcm], ttl: soon, locales: {en: {title: x}}}`:                          "ttl must be a duration",
		`{channels: [fcm], delivery: maybe, locales: {en: {title: x}}}`:                    "delivery must be",
		`{channels: [fcm], colour: red, locales: {en: {title: x}}}`:                        "colour",
	} {
		_, err := template.Load(fstest.MapFS{"bad.yaml": {Data: []byte(text)}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "bad.yaml") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := template.Load(fstest.MapFS{}); err == nil {
		t.Error("a folder without templates is accepted")
	}
}

// FuzzParse: whatever is accepted renders with empty members, within the limits.
func FuzzParse(f *testing.F) {
	f.Add(follow)
	f.Add(`{channels: [fcm], members: [a], locales: {en: {title: "{{if .a}}{{.a}}{{end}}"}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := template.Parse("x", []byte(text))
		if err != nil {
			return
		}
		m, err := parsed.Render("en", map[string]string{"a": "1", "who": "2", "city": "3"})
		if err == nil && len(m.Title)+len(m.Body)+len(m.HTML) > channel.MaxMessage {
			t.Errorf("%d bytes", len(m.Title)+len(m.Body)+len(m.HTML))
		}
	})
}
