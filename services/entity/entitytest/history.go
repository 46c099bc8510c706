package entitytest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// operation is one on a document, as its caller saw it. The state of a document is what its last
// write has put there, "" where there is none.
type operation struct {
	what         string
	began, ended time.Duration // ended is never where the outcome is not known
	// reads is whether it found from, and writes whether it left to in its place. An unknown
	// outcome is a write of anything, or none.
	reads, writes bool
	from, to      string
	epoch         int64 // at its end
}

const never = time.Duration(math.MaxInt64)

func (o operation) String() string {
	text := fmt.Sprintf("%-8s %10s to %10s", o.what, o.began.Round(time.Microsecond), o.ended.Round(time.Microsecond))
	if o.ended == never {
		text = fmt.Sprintf("%-8s %10s, unknown  ", o.what, o.began.Round(time.Microsecond))
	}
	text = fmt.Sprintf("epoch %d: %s", o.epoch, text)
	if o.reads {
		text += fmt.Sprintf(" found %q", o.from)
	}
	if o.writes {
		text += fmt.Sprintf(" left %q", o.to)
	}
	return text
}

// apply is the state that an operation leaves, and whether it can happen in a state.
func (o operation) apply(state string) (string, bool) {
	switch {
	case o.what == opDelete && state == "": // somebody else's came first, which is the same
		return state, o.writes
	case o.reads && o.from != state, !o.reads && o.what == opUpdate && state == "":
		return state, false
	case o.writes:
		return o.to, true
	}
	return state, true
}

// longestHistory is how many operations on one document can be checked.
const longestHistory = 512

type operations [longestHistory / 64]uint64

func (s *operations) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s *operations) set(i int)      { s[i/64] |= 1 << (i % 64) }

// linearizable says whether operations could have happened one after the other, each at a moment
// between its beginning and its end. ops are sorted by when they began.
func linearizable(ops []operation) bool {
	type point struct {
		done  operations
		state string
	}
	seen := map[point]bool{}
	var from func(p point) bool
	from = func(p point) bool {
		if seen[p] {
			return false
		}
		seen[p] = true
		first, left := never, false // to end, of those that are not done
		for i, o := range ops {
			if !p.done.has(i) && o.ended < never {
				first, left = min(first, o.ended), true
			}
		}
		if !left {
			return true
		}
		for i, o := range ops {
			if o.began > first {
				break
			}
			if next, can := o.apply(p.state); can && !p.done.has(i) {
				after := point{p.done, next}
				after.done.set(i)
				if from(after) {
					return true
				}
			}
		}
		return false
	}
	return from(point{})
}

// checkHistory returns an error that lists the end of the shortest beginning of a history that
// cannot have happened.
func checkHistory(ops []operation) error {
	ops = slices.DeleteFunc(slices.Clone(ops), func(o operation) bool { // what nobody has seen may not have happened
		return o.ended == never && o.to != "" && !slices.ContainsFunc(ops, func(other operation) bool { return other.reads && other.from == o.to })
	})
	slices.SortFunc(ops, func(a, b operation) int { return cmp.Compare(a.began, b.began) })
	if len(ops) > longestHistory {
		return fmt.Errorf("%d operations are too many", len(ops))
	}
	if linearizable(ops) {
		return nil
	}
	ends := make([]time.Duration, 0, len(ops))
	for _, o := range ops {
		ends = append(ends, o.ended)
	}
	slices.Sort(ends)
	n, _ := slices.BinarySearchFunc(ends, false, func(end time.Duration, _ bool) int {
		if linearizable(until(ops, end)) {
			return -1
		}
		return 1
	})
	first := until(ops, ends[min(n, len(ends)-1)])
	var lines []string
	for _, o := range first[max(0, len(first)-30):] {
		lines = append(lines, o.String())
	}
	return fmt.Errorf("no order of operations explains what they found, until:\n%s", strings.Join(lines, "\n"))
}

// until is a history as far as it was known at a time.
func until(ops []operation, end time.Duration) (known []operation) {
	for _, o := range ops {
		switch {
		case o.began > end || o.ended > end && !o.writes:
			continue
		case o.ended > end:
			o.ended = never
		}
		known = append(known, o)
	}
	return known
}
