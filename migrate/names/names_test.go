package names_test

import (
	"regexp"
	"slices"
	"testing"

	"github.com/banyan-fig/banyan/migrate/names"
)

func TestNames(t *testing.T) {
	n := names.Names("us.ers")
	match := regexp.MustCompile(n.Pattern())
	for name, want := range map[string]struct {
		kind       names.Kind
		generation int64
	}{
		"us.ers":                    {names.Public, 0},
		n.Physical(0):               {names.Public, 0},
		n.Physical(12):              {names.Physical, 12},
		n.Stray(3):                  {names.Stray, 3},
		"us.ers__banyan_g01":        {names.Foreign, 0},
		"us.ers__banyan_g0":         {names.Foreign, 0},
		"us.ers__banyan_g-1":        {names.Foreign, 0},
		"us.ers__banyan_g1x":        {names.Foreign, 0},
		"us.ers__banyan_recreated":  {names.Foreign, 0},
		"us.ers2":                   {names.Foreign, 0},
		"us.ers2__banyan_g1":        {names.Foreign, 0},
		"another":                   {names.Foreign, 0},
		"":                          {names.Foreign, 0},
		"us.ers__banyan_g999999999": {names.Physical, 999999999},
	} {
		if kind, g := n.Parse(name); kind != want.kind || g != want.generation {
			t.Errorf("%q: %v %d, want %v", name, kind, g, want)
		}
		if want.kind != names.Foreign && !match.MatchString(name) {
			t.Errorf("the pattern misses %q", name)
		}
	}
	for _, name := range []string{"us.ers2", "usxers", "my.us.ers", "us.ers_banyan_g1"} {
		if match.MatchString(name) {
			t.Errorf("the pattern matches %q", name)
		}
	}
	if got := n.Vacated(n.Physical(2), 3); !slices.Equal(got, []string{"us.ers", n.Physical(1), n.Physical(3)}) {
		t.Error(got)
	}
}
