package socialtest

import "fmt"

// Kind says on which side a difference is.
type Kind string

const (
	// Lost is an effect that should be there and is not.
	Lost Kind = "lost"
	// Twice is an effect that is there and should not be: applied twice, or applied
	// from a stale delivery.
	Twice Kind = "twice"
)

// Difference is one thing in which a table is not as the fold of its events.
type Difference struct {
	Kind Kind
	User string
	What string // such as "followers", or "post <id>"
	Want string
	Got  string
}

// String is the difference in a line.
func (d Difference) String() string {
	return fmt.Sprintf("user %s: %s: want %s, got %s (%s)", d.User, d.What, d.Want, d.Got, d.Kind)
}

// Count counts the differences of one kind.
func Count(differences []Difference, kind Kind) int {
	n := 0
	for _, d := range differences {
		if d.Kind == kind {
			n++
		}
	}
	return n
}

// comparison collects the differences of one user.
type comparison struct {
	user string
	all  []Difference
}

func (c *comparison) add(kind Kind, what, want, got string) {
	c.all = append(c.all, Difference{Kind: kind, User: c.user, What: what, Want: want, Got: got})
}

func (c *comparison) text(what, want, got string) {
	if want != got {
		c.add(Lost, what, fmt.Sprintf("%q", want), fmt.Sprintf("%q", got))
	}
}

// number compares counters: one that is too low has lost effects, one that is too high
// has some twice.
func (c *comparison) number(what string, want, got int64) {
	switch {
	case got < want:
		c.add(Lost, what, fmt.Sprint(want), fmt.Sprint(got))
	case got > want:
		c.add(Twice, what, fmt.Sprint(want), fmt.Sprint(got))
	}
}
