// Package names has the names that an entity's collection goes through.
//
// Before a migration the collection has its public name, which everyone knows. Each
// fence gives it a further physical name with the next generation, and a read-only view
// takes the name that it left. No name that was left is entered again, so a late command
// finds nothing at the name that it carries. What somebody creates under a vacated name is
// a stray, and is set aside under a name of its own.
//
// The names are predictable, so that roles can be granted ahead.
package names

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Names of one entity's collection. Its value is the public name.
type Names string

// Kind of a name.
type Kind int

// The kinds.
const (
	Foreign  Kind = iota // not one of the entity
	Public               // the name before any fence
	Physical             // a name that a fence gave
	Stray                // of a collection that was set aside
)

const (
	infix    = "__banyan_"
	physical = infix + "g"
	stray    = infix + "stray_g"
)

// Physical is the collection's name in a generation, counted from 1; for 0 it is the
// public name.
func (n Names) Physical(generation int64) string {
	if generation == 0 {
		return string(n)
	}
	return fmt.Sprintf("%s%s%d", string(n), physical, generation)
}

// Stray is the name of a collection that is set aside. Physical and stray names have
// one counter.
func (n Names) Stray(generation int64) string {
	return fmt.Sprintf("%s%s%d", string(n), stray, generation)
}

// Parse says which name it is, and of which generation.
func (n Names) Parse(name string) (Kind, int64) {
	rest, ours := strings.CutPrefix(name, string(n))
	if ours && rest == "" {
		return Public, 0
	}
	for _, k := range []struct {
		prefix string
		kind   Kind
	}{{physical, Physical}, {stray, Stray}} {
		if digits, ok := strings.CutPrefix(rest, k.prefix); ours && ok {
			g, err := strconv.ParseInt(digits, 10, 64)
			if err == nil && g > 0 && strconv.FormatInt(g, 10) == digits {
				return k.kind, g
			}
		}
	}
	return Foreign, 0
}

// Pattern is a regular expression that all of the entity's names match: the public one,
// and everything that begins with it and "__banyan_".
func (n Names) Pattern() string { return "^" + regexp.QuoteMeta(string(n)) + "($|" + infix + ")" }

// Prefix is what all names but the public one begin with.
func (n Names) Prefix() string { return string(n) + infix }

// Vacated are the names that the collection may have had when its present one is of a
// generation among the first several: the public name, and every other physical name.
func (n Names) Vacated(current string, generations int64) []string {
	var all []string
	for g := range generations + 1 {
		if name := n.Physical(g); name != current {
			all = append(all, name)
		}
	}
	return all
}
