package control

import (
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/migrate/ownership"
)

// Switch is the state of a change of owner, and in the end its summary. It is stored with the
// job, so that status shows it after the process has ended.
type Switch struct {
	Entity string `dynamodbav:"entity" json:"entity"`
	// To is the new owner: DynamoDB's is a cut-over, MongoDB's a rollback.
	To         ownership.Store `dynamodbav:"to" json:"to"`
	Epoch      int64           `dynamodbav:"epoch" json:"epoch"` // the one that ends
	Step       string          `dynamodbav:"step" json:"step"`   // one of cutover.Step...
	StartedAt  time.Time       `dynamodbav:"startedAt" json:"startedAt"`
	HeldAt     time.Time       `dynamodbav:"heldAt" json:"heldAt,omitzero"`
	ReleasedAt time.Time       `dynamodbav:"releasedAt" json:"releasedAt,omitzero"`
	// Held is for how long writes were held, in milliseconds.
	Held int64 `dynamodbav:"heldMs" json:"heldMs"`
	// Steps are what the steps up to the switch have taken of that, in their order; the rest
	// is the release, or the undoing.
	Steps    []Duration `dynamodbav:"steps" json:"steps,omitempty"`
	Compared int64      `dynamodbav:"compared" json:"comparedBefore"`     // changed since the verification, compared before the hold
	TailKeys int64      `dynamodbav:"tailKeys" json:"comparedWhileHeld"`  // compared while writes were held
	Problems []string   `dynamodbav:"problems" json:"problems,omitempty"` // why it was refused or undone
	DryRun   bool       `dynamodbav:"-" json:"dryRun,omitempty"`
	// By is who ran the cut-over, and where; Evidence on what it stood that nobody else
	// used the collection, a line for each server of MongoDB; Warnings what was let pass.
	By       string   `dynamodbav:"by" json:"by,omitempty"`
	Evidence []string `dynamodbav:"evidence" json:"evidence,omitempty"`
	Warnings []string `dynamodbav:"warnings" json:"warnings,omitempty"`
	Verified string   `dynamodbav:"verified" json:"verification"` // the id of the verification that it relies on
}

// Duration is what a step has taken.
type Duration struct {
	Step         string  `dynamodbav:"step" json:"step"`
	Milliseconds float64 `dynamodbav:"ms" json:"ms"`
}

// Took says what the steps up to the switch have taken, in words.
func (s Switch) Took() string {
	var all []string
	for _, t := range s.Steps {
		all = append(all, fmt.Sprintf("%s %.3g ms", t.Step, t.Milliseconds))
	}
	return strings.Join(all, ", ")
}
