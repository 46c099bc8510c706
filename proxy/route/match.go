package route

import (
	"cmp"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// conditions are what a request must have besides method and path.
type conditions struct {
	headers []condition
	query   []condition
	client  *ClientVersion // with versions
	version versionRange
}

// condition holds where one of the values matches.
type condition struct {
	name  string
	value wildcard
}

func (c *conditions) isEmpty() bool {
	return len(c.headers) == 0 && len(c.query) == 0 && c.version.isEmpty()
}

func (c *conditions) hold(r *Request) bool {
	for _, h := range c.headers {
		if !h.value.matchesAny(r.Header[h.name]) {
			return false
		}
	}
	if len(c.query) > 0 {
		query, _ := url.ParseQuery(r.Query) // what cannot be parsed is not there
		for _, q := range c.query {
			if !q.value.matchesAny(query[q.name]) {
				return false
			}
		}
	}
	return c.version.isEmpty() || c.version.contains(c.client.Of(r.Header))
}

// wildcard is a text in which * stands for any text.
type wildcard []string

func newWildcard(s string) wildcard { return strings.Split(s, "*") }

func (w wildcard) matchesAny(values []string) bool { return slices.ContainsFunc(values, w.matches) }

func (w wildcard) matches(s string) bool {
	if len(w) == 1 {
		return s == w[0]
	}
	s, ok := strings.CutPrefix(s, w[0])
	if !ok {
		return false
	}
	last := len(w) - 1
	for _, part := range w[1:last] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return strings.HasSuffix(s, w[last])
}

// ClientVersion says where clients tell their version.
type ClientVersion struct {
	Header  string         // canonical
	Pattern *regexp.Regexp // its first group; nil: the whole header
}

// Of is the version that the headers tell, "" for none. It is the client's word: at most 32
// bytes of it.
func (c *ClientVersion) Of(h http.Header) string {
	if c == nil {
		return ""
	}
	v := h.Get(c.Header)
	if c.Pattern != nil {
		if len(v) > 512 {
			return ""
		}
		m := c.Pattern.FindStringSubmatch(v)
		if m == nil {
			return ""
		}
		v = m[len(m)-1]
	}
	if len(v) > 32 {
		return ""
	}
	return v
}

// parseVersion reads numbers between dots, without the zeros that it ends with: 4.0 is 4.
func parseVersion(s string) (version []int, ok bool) {
	significant := 0
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 || len(version) == 8 {
			return nil, false
		}
		if version = append(version, n); n > 0 {
			significant = len(version)
		}
	}
	return version[:significant], true
}

// versionRange is such as ">=4.2 <5": all of its bounds.
type versionRange []versionBound

type versionBound struct {
	operator string
	than     []int
}

func parseVersionRange(s string) (versionRange, bool) {
	var out versionRange
	for field := range strings.FieldsSeq(s) {
		number := strings.TrimLeft(field, "<>=")
		operator := strings.TrimSuffix(field, number)
		than, ok := parseVersion(number)
		switch operator {
		case "", "=", "<", "<=", ">", ">=":
		default:
			ok = false
		}
		if !ok {
			return nil, false
		}
		out = append(out, versionBound{operator, than})
	}
	return out, len(out) > 0
}

func (r versionRange) isEmpty() bool { return len(r) == 0 }

// contains is false for what is no version: such a client is none of those that are meant.
func (r versionRange) contains(s string) bool {
	v, ok := parseVersion(s)
	if !ok {
		return false
	}
	for _, b := range r {
		relation := [...]string{"<", "=", ">"}[slices.Compare(v, b.than)+1]
		if !strings.Contains(cmp.Or(b.operator, "="), relation) {
			return false
		}
	}
	return true
}
