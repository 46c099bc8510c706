package outboxtable

import "time"

// Report is the outcome of one batch or one sweep.
type Report struct {
	Table string
	At    time.Time
	// Records is how many changes of the table a batch had, Keys how many
	// partition keys were relayed. A batch has none when all of its records are
	// claims and deletions.
	Records, Keys int
	// Published and DeadLetters count events: kept by the publisher, and as dead
	// letters. What a key that failed published before that is among them.
	Published, DeadLetters int
	// Busy counts keys that another relay has claimed, Failed those that failed
	// for another reason. Both are tried again.
	Busy, Failed int
	// Lags is, for each event that was published, how long ago it was made.
	Lags []time.Duration
	// Errors has the first few reasons of what failed or became a dead letter.
	Errors []error
}

const maxErrors = 10

// tally is what a relay did for one key.
type tally struct {
	published, deadLetters int
	lags                   []time.Duration
	errs                   []error
}

func (rep *Report) add(t tally) {
	rep.Keys++
	rep.Published += t.published
	rep.DeadLetters += t.deadLetters
	rep.Lags = append(rep.Lags, t.lags...)
	for _, err := range t.errs {
		rep.addError(err)
	}
}

func (rep *Report) addError(err error) {
	if len(rep.Errors) < maxErrors {
		rep.Errors = append(rep.Errors, err)
	}
}
