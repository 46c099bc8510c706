package conformance

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Table is who passes what. The zero value is an empty one.
type Table struct {
	columns []column
}

type column struct {
	target  Target
	order   []string
	fails   map[string]bool
	refuses map[string]bool
	failing int
}

// Add adds a target with its results.
func (t *Table) Add(target Target, results []Result) {
	c := column{target: target, fails: map[string]bool{}, refuses: map[string]bool{}}
	for _, r := range results {
		if !slices.Contains(c.order, r.Case) {
			c.order = append(c.order, r.Case)
		}
		c.refuses[r.Case] = r.Refused
		if len(r.Problems) > 0 && !c.fails[r.Case] {
			c.fails[r.Case] = true
			c.failing++
		}
	}
	t.columns = append(t.columns, c)
}

// Print writes the cases that a target fails, with the reason where there is one, those that may be
// refused or passed and are not treated alike, and how many each passes.
func (t *Table) Print(w io.Writer) {
	if len(t.columns) == 0 {
		return
	}
	lines := tabwriter.NewWriter(w, 0, 1, 2, ' ', 0)
	defer lines.Flush()
	names, passed := []string{"case"}, []string{"passed"}
	for _, c := range t.columns {
		names = append(names, c.target.Name)
		passed = append(passed, fmt.Sprintf("%d of %d", len(c.order)-c.failing, len(c.order)))
	}
	fmt.Fprintln(lines, strings.Join(names, "\t"))
	for _, name := range t.columns[0].order {
		row, why, differ := []string{name}, []string(nil), false
		for _, c := range t.columns {
			differ = differ || c.refuses[name] != t.columns[0].refuses[name]
			switch {
			case c.fails[name]:
				row, why = append(row, "no"), append(why, c.target.Name+": "+c.target.Why[name])
			case c.refuses[name]:
				row = append(row, "refuses")
			default:
				row = append(row, "yes")
			}
		}
		if why != nil || differ {
			fmt.Fprintln(lines, strings.Join(append(row, strings.Join(why, "; ")), "\t"))
		}
	}
	fmt.Fprintln(lines, strings.Join(passed, "\t"))
}
