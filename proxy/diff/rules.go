package diff

import (
	"cmp"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// maxRules bounds the paths of one Spec: each is looked at for each value compared.
const maxRules = 200

// A Spec is the rules as written, under a route's key "diff". A path names values of
// the body as a Difference does: $.name for a member, [] for the items of an array,
// $.* for any member, $..name for a member at any depth, $["odd.name"] for a name with
// other characters. Words as "Default:" are those of the route file's reference.
type Spec struct {
	// The paths whose differences do not count, with all below them; also status,
	// body and header:Name. Default: none.
	// Example: [$.servedBy, "$..updatedAt", "header:Cache-Control"]
	Ignore []string `yaml:"ignore"`
	// The arrays whose order does not count, each with the member that identifies an
	// item, or "" when items are compared whole. Default: none.
	// Example: {$.items: id, "$.items[].tags": ""}
	Unordered map[string]string `yaml:"unordered"`
	// How far two numbers may be apart, by path. Default: 0, exactly equal.
	// Example: {$.price: 0.01}
	Tolerance map[string]float64 `yaml:"tolerance"`
	// The paths where 1.0 and 1 differ, because a client reads the digits. Default:
	// none, numbers are compared by value.
	// Example: [$.amount]
	AsWritten []string `yaml:"asWritten"`
	// The paths where a member that is null equals one that is absent. Default: none.
	// Example: ["$.items[].note"]
	NullIsAbsent []string `yaml:"nullIsAbsent"`
	// The headers that are compared; of Set-Cookie only the names of the cookies.
	// Default: Allow, Content-Disposition, Content-Language, Content-Type, Link,
	// Location, Retry-After, Set-Cookie, Www-Authenticate.
	// Example: [Content-Type, Location, ETag]
	Headers []string `yaml:"headers"`
	// Names of members, parameters and headers whose values never leave the process,
	// beside those that are always removed (see Secrets); "*" removes all values.
	// Default: none.
	// Example: [nickname]
	Secrets []string `yaml:"secrets"`
}

var defaultHeaders = []string{"Allow", "Content-Disposition", "Content-Language", "Content-Type", "Link",
	"Location", "Retry-After", "Set-Cookie", "Www-Authenticate"}

// Rules are a compiled Spec: immutable and safe for concurrent use. A nil *Rules and the
// zero Rules stand for those of the empty Spec.
type Rules struct {
	rules   []*rule
	ignored map[string]bool // status, body, header:Name
	headers []string
	secrets *Secrets
}

var defaultRules = func() *Rules { r, _ := Compile(Spec{}); return r }()

// Secrets returns what removes secrets from this route's samples.
func (r *Rules) Secrets() *Secrets { return r.orDefault().secrets }

func (r *Rules) orDefault() *Rules {
	if r == nil || r.secrets == nil {
		return defaultRules
	}
	return r
}

// rule is what holds for the values that a path names.
type rule struct {
	path []segment
	effect
}

type effect struct {
	ignore, unordered, asWritten, nullIsAbsent bool

	key       string
	tolerance float64
}

// segment is one step of a path. A deep one may stand at any depth.
type segment struct {
	name            string
	any, item, deep bool
}

// Compile checks a Spec. Its error names the path and what is wrong with it.
func Compile(s Spec) (*Rules, error) {
	r := &Rules{ignored: map[string]bool{}, headers: defaultHeaders, secrets: NewSecrets(s.Secrets)}
	if s.Headers != nil {
		r.headers = nil
		for _, h := range s.Headers {
			r.headers = append(r.headers, http.CanonicalHeaderKey(h))
		}
	}
	var wrong error // the first mistake
	add := func(key, path string, e effect) {
		p, err := parsePath(path)
		if err != nil && wrong == nil {
			wrong = fmt.Errorf("%s: invalid path %q: %w", key, path, err)
		}
		r.rules = append(r.rules, &rule{p, e})
	}
	for _, p := range s.Ignore {
		if name, ok := strings.CutPrefix(p, "header:"); ok {
			r.ignored["header:"+http.CanonicalHeaderKey(name)] = true
		} else if p == "status" || p == "body" {
			r.ignored[p] = true
		} else {
			add("ignore", p, effect{ignore: true})
		}
	}
	for p, key := range s.Unordered {
		add("unordered", p, effect{unordered: true, key: key})
	}
	for p, by := range s.Tolerance {
		if !(by >= 0) || math.IsInf(by, 1) {
			wrong = cmp.Or(wrong, fmt.Errorf("tolerance of %s: invalid %v, it must be 0 or above", p, by))
		}
		add("tolerance", p, effect{tolerance: by})
	}
	for _, p := range s.AsWritten {
		add("asWritten", p, effect{asWritten: true})
	}
	for _, p := range s.NullIsAbsent {
		add("nullIsAbsent", p, effect{nullIsAbsent: true})
	}
	if len(r.rules) > maxRules {
		wrong = cmp.Or(wrong, fmt.Errorf("%d paths, more than the %d allowed: use $.* or $..name", len(r.rules), maxRules))
	}
	if wrong != nil {
		return nil, wrong
	}
	return r, nil
}

// parsePath reads $.a[].b, $.*, $..a and $["odd"].
func parsePath(s string) ([]segment, error) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return nil, fmt.Errorf("it must begin with $, such as $.items[].id")
	}
	var out []segment
	for rest != "" {
		var seg segment
		switch {
		case strings.HasPrefix(rest, "[]"):
			seg, rest = segment{item: true}, rest[2:]
		case strings.HasPrefix(rest, `["`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
				return nil, fmt.Errorf(`["name"] is not closed at %q`, rest)
			}
			seg.name, _ = strconv.Unquote(quoted)
			rest = rest[len(quoted)+2:]
		case strings.HasPrefix(rest, "."):
			rest = rest[1:]
			if strings.HasPrefix(rest, ".") {
				seg.deep, rest = true, rest[1:]
			}
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			seg.name, rest = rest[:end], rest[end:]
			if seg.name == "" {
				return nil, fmt.Errorf(`expected a name after ".", or * for any`)
			}
			seg.any = seg.name == "*"
		default:
			return nil, fmt.Errorf(`expected .name, [] or ["name"] at %q`, rest)
		}
		out = append(out, seg)
	}
	return out, nil
}

// cursor is how far a rule's path has been followed.
type cursor struct {
	rule *rule
	at   int
}

// begin is the cursors at $.
func (r *Rules) begin() []cursor {
	var out []cursor
	for _, rule := range r.rules {
		out = append(out, cursor{rule, 0})
	}
	return out
}

// step follows the paths to the member of that name, or to an item of an array.
func step(active []cursor, name string, item bool) []cursor {
	var next []cursor
	add := func(c cursor) {
		if !slices.Contains(next, c) { // $..a..b can come here on several ways
			next = append(next, c)
		}
	}
	for _, c := range active {
		if c.at == len(c.rule.path) {
			continue
		}
		s := c.rule.path[c.at]
		if s.deep {
			add(c)
		}
		if item && s.item || !item && !s.item && (s.any || s.name == name) {
			add(cursor{c.rule, c.at + 1})
		}
	}
	return next
}

// here is the effect of all rules whose path ends here.
func here(active []cursor) (e effect) {
	for _, c := range active {
		if c.at != len(c.rule.path) {
			continue
		}
		r := c.rule
		e.ignore = e.ignore || r.ignore
		e.asWritten = e.asWritten || r.asWritten
		e.nullIsAbsent = e.nullIsAbsent || r.nullIsAbsent
		e.tolerance = max(e.tolerance, r.tolerance)
		if r.unordered {
			e.unordered, e.key = true, max(e.key, r.key)
		}
	}
	return e
}
