// Package template has the texts of notifications: one YAML file a template, with the
// texts of each locale and how it is to be sent.
//
//	# follow.yaml
//	channels: [apns, fcm, webpush]
//	members: [follower]
//	ttl: 24h
//	locales:
//	  en: {title: "{{.follower}} follows you"}
//	  de: {title: "{{.follower}} folgt dir"}
//
// A text has members, {{.follower}}, and conditions on whether a member is empty,
// {{if .city}}in {{.city}}{{else}}nearby{{end}}, in the syntax of text/template. There is
// nothing else: no functions, no loops, so that a text is as long as what is in it. A
// member that is not declared fails when the file is loaded.
//
// text/template itself is not used: it calls methods by name, for which the linker keeps
// every method of every client, and a function would no longer be under 6 MB.
package template

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// Delivery is what becomes of a notification after a crash or a lost answer, when it is
// not known whether it was sent.
type Delivery string

// The deliveries.
const (
	// AtLeastOnce sends again: for what must arrive.
	AtLeastOnce Delivery = "at-least-once"
	// AtMostOnce does not: for what must not arrive twice.
	AtMostOnce Delivery = "at-most-once"
)

// The limits of a template.
const (
	MaxFile    = 256 << 10
	MaxMembers = 64
	// MaxValue is the length of a member's value in bytes.
	MaxValue = 4 << 10
	maxNodes = 10_000
)

// Template is one template. It is safe for concurrent use.
type Template struct {
	// Name is the file's without ".yaml".
	Name string
	// Channels are those that it is sent by.
	Channels []string
	Delivery Delivery
	// Urgent ignores quiet hours and the limit of a user: for a code to log in with.
	Urgent bool
	// TTL is how long after the event it is worth sending.
	TTL time.Duration

	members  map[string]bool
	locales  map[string]texts
	fallback string
}

// DefaultTTL is that of a template that has none.
const DefaultTTL = 24 * time.Hour

// file is how a template is written.
type file struct {
	Channels []string           `yaml:"channels"`
	Delivery Delivery           `yaml:"delivery"`
	Urgent   bool               `yaml:"urgent"`
	TTL      string             `yaml:"ttl"`
	Members  []string           `yaml:"members"`
	Default  string             `yaml:"default"`
	Locales  map[string]written `yaml:"locales"`
}

// written are the texts of one locale.
type written struct {
	Title string            `yaml:"title"`
	Body  string            `yaml:"body"`
	HTML  string            `yaml:"html"`
	Data  map[string]string `yaml:"data"`
}

// Set are templates by name.
type Set map[string]*Template

// Load reads every *.yaml of a folder, embedded or not. The error names each file that is
// wrong.
func Load(folder fs.FS) (Set, error) {
	names, err := fs.Glob(folder, "*.yaml")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("load templates: the folder has no file that ends in .yaml")
	}
	set := Set{}
	var wrong []error
	for _, name := range names {
		t, err := load(folder, name)
		if err != nil {
			wrong = append(wrong, fmt.Errorf("template %s: %w", name, err))
			continue
		}
		set[t.Name] = t
	}
	return set, errors.Join(wrong...)
}

func load(folder fs.FS, name string) (*Template, error) {
	f, err := folder.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, err
	}
	return Parse(strings.TrimSuffix(path.Base(name), ".yaml"), text)
}

// maxName bounds names beside the expressions: to compile a bound in them takes 2 ms of every start.
const maxName = 64

var validName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// Parse reads one template.
func Parse(name string, text []byte) (*Template, error) {
	var f file
	switch {
	case len(name) > maxName || !validName.MatchString(name):
		return nil, fmt.Errorf("invalid name %q: must be up to 64 letters, digits, - and _", name)
	case len(text) > MaxFile:
		return nil, fmt.Errorf("more than %d bytes", MaxFile)
	}
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		return nil, err
	}
	t := &Template{Name: name, Channels: f.Channels, Delivery: cmp.Or(f.Delivery, AtLeastOnce), Urgent: f.Urgent, TTL: DefaultTTL, fallback: f.Default}
	if f.TTL != "" {
		var err error
		if t.TTL, err = time.ParseDuration(f.TTL); err != nil || t.TTL <= 0 {
			return nil, fmt.Errorf("ttl must be a duration such as 24h, not %q", f.TTL)
		}
	}
	if err := t.validate(f); err != nil {
		return nil, err
	}
	return t, t.compile(f)
}

func (t *Template) validate(f file) error {
	if len(t.Channels) == 0 {
		return fmt.Errorf("channels are required: of %v", channel.Names())
	}
	for _, c := range t.Channels {
		if !slices.Contains(channel.Names(), c) {
			return fmt.Errorf("unknown channel %q: must be one of %v", c, channel.Names())
		}
	}
	if t.Delivery != AtLeastOnce && t.Delivery != AtMostOnce {
		return fmt.Errorf("delivery must be %s or %s, not %q", AtLeastOnce, AtMostOnce, t.Delivery)
	}
	if len(f.Members) > MaxMembers {
		return fmt.Errorf("%d members: at most %d", len(f.Members), MaxMembers)
	}
	if len(f.Locales) == 1 && t.fallback == "" {
		t.fallback = slices.Collect(maps.Keys(f.Locales))[0]
	}
	if _, ok := f.Locales[t.fallback]; !ok {
		return fmt.Errorf("default must name one of the locales, not %q", t.fallback)
	}
	return nil
}

func (t *Template) compile(f file) error {
	t.members, t.locales = map[string]bool{}, map[string]texts{}
	for _, m := range f.Members {
		if len(m) > maxName || !identifier.MatchString(m) {
			return fmt.Errorf("invalid member %q: must be letters, digits and _", m)
		}
		t.members[m] = true
	}
	for locale, w := range f.Locales {
		if w.Title == "" {
			return fmt.Errorf("locale %s: a title is required", locale)
		}
		compiled, err := compile(w, t.members)
		if err != nil {
			return fmt.Errorf("locale %s: %w", locale, err)
		}
		t.locales[locale] = compiled
	}
	return nil
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Render makes the texts of a message in a locale, such as "de-AT", else "de", else the
// default. Every declared member must be given; others are ignored.
func (t *Template) Render(locale string, members map[string]string) (channel.Message, error) {
	for name := range t.members {
		value, ok := members[name]
		switch {
		case !ok:
			return channel.Message{}, fmt.Errorf("render template %s: member %s is missing", t.Name, name)
		case len(value) > MaxValue:
			return channel.Message{}, fmt.Errorf("render template %s: member %s has %d bytes, more than %d", t.Name, name, len(value), MaxValue)
		}
	}
	m, size := t.texts(locale).render(members)
	if size > channel.MaxMessage {
		return m, fmt.Errorf("render template %s: %d bytes, more than %d", t.Name, size, channel.MaxMessage)
	}
	return m, nil
}

func (t *Template) texts(locale string) texts {
	for locale != "" {
		if found, ok := t.locales[locale]; ok {
			return found
		}
		locale = locale[:max(strings.LastIndexAny(locale, "-_"), 0)]
	}
	return t.locales[t.fallback]
}
