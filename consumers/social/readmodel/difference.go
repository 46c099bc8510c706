// Package readmodel has what the read models below it share: how a difference
// between what a table should hold and what it holds is told.
//
// Each read model exports a Fold, a plain in-memory computation of what its
// table must hold after given events, which is its specification; a Snapshot,
// which reads the table; and a Diff of the two.
package readmodel

import "fmt"

// Kind says on which side a difference is.
type Kind string

const (
	// Lost is an effect that should be there and is not.
	Lost Kind = "lost"
	// Twice is an effect that is there and should not be: applied twice, or
	// applied from a stale delivery.
	Twice Kind = "twice"
)

// Difference is one thing that a table tells otherwise than its fold.
type Difference struct {
	Kind Kind
	User string
	What string // such as "followers", or "post <id>"
	Want string
	Got  string
}

// String is the difference for a person.
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
