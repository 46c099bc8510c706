package fault

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Kind is a way in which a call goes wrong.
type Kind uint8

// The kinds, in the order in which a rule's probabilities are stacked.
const (
	// None: the call is served as it is.
	None Kind = iota
	// Throttle: refused before any effect, with the service's own throttling error.
	Throttle
	// Partial: of a batch, some entries fail and the others take effect.
	Partial
	// TimeoutBefore: no effect, and no answer; the connection is closed.
	TimeoutBefore
	// TimeoutAfter: the full effect, and no answer; the connection is closed.
	TimeoutAfter
	// Internal: refused before any effect, with the service's internal error.
	Internal
	// Duplicate: the effect or the delivery happens twice.
	Duplicate
	// Late: the effect or the delivery is held back for Fault.Delay.
	Late
	// Denied: refused before any effect, as for missing rights.
	Denied
)

var kindNames = [...]string{"none", "throttle", "partial", "timeout-before", "timeout-after", "internal", "duplicate", "late", "denied"}

// String returns the name used in the text of a plan.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// ParseKind is the inverse of [Kind.String]; "none" is not a kind to plan.
func ParseKind(s string) (Kind, error) {
	for k := Throttle; int(k) < len(kindNames); k++ {
		if kindNames[k] == s {
			return k, nil
		}
	}
	return None, fmt.Errorf("unknown kind of fault %q: use one of %v", s, kindNames[1:])
}

// Fault is the decision for one call. The zero value is no fault.
type Fault struct {
	Kind Kind
	// Delay is how long a timed-out call hangs before its connection is
	// closed, or how long a late one is held back.
	Delay time.Duration
	// Seed belongs to this call alone: a service that has to choose (which
	// entries of a batch fail) derives the choice from it.
	Seed uint64
}

// Rand returns a source for the choices inside this one fault. Two calls
// return equal sources.
func (f Fault) Rand() *rand.Rand {
	return rand.New(rand.NewPCG(f.Seed, 0x62616e79616e))
}

// Pick chooses which of n entries of a batch a partial failure hits: each with
// probability one half, and at least one if n is positive.
func (f Fault) Pick(n int) []bool {
	hit := make([]bool, n)
	if n == 0 {
		return hit
	}
	r := f.Rand()
	for i := range hit {
		hit[i] = r.IntN(2) == 0
	}
	hit[r.IntN(n)] = true
	return hit
}
