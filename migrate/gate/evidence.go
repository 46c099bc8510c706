package gate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/migrate/control"
	"github.com/banyan-fig/banyan/migrate/plan"
)

// Evidence is what a gate has seen.
type Evidence struct {
	From    time.Time     `json:"from"`
	Watched time.Duration `json:"watchedNs"`
	// Clients are those who used the collection meanwhile and are not the service.
	Clients []control.Client `json:"clients"`
	// Servers are the members of the replica set, and by what each was watched.
	Servers []Server `json:"servers"`
	// Writes that did not set the version field, by the change stream; LastID is the
	// document of the last one.
	Writes int    `json:"writesWithoutVersion"`
	LastID string `json:"lastId,omitempty"`
	// Replaced is what happened to the collection as a whole meanwhile, "" for nothing.
	Replaced string `json:"replaced,omitempty"`
	// OpenTransaction is for how long the oldest one is open; a rename waits for those
	// that use the collection, and everybody waits behind it.
	OpenTransaction time.Duration `json:"openTransactionNs"`
	// Instances of the service that were registered.
	Instances int `json:"instances"`
}

// Server is one member of the replica set.
type Server struct {
	Host string `json:"host"`
	// Evidence is what it was watched by, the best first: profiler, currentOp, top.
	Evidence []string `json:"evidence"`
	// Missing says what could not be used, each with why and what to do.
	Missing []string `json:"missing,omitempty"`
	Gaps    []Gap    `json:"gaps,omitempty"`
	// Reads and Writes are counted by top, where it is used, those of the service too.
	Reads  int64 `json:"countedReads,omitempty"`
	Writes int64 `json:"countedWrites,omitempty"`
}

// Gap is a time in which a server was not watched as it is said to have been.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Why  string    `json:"why"`
}

// add adds what was seen on one server.
func (e *Evidence) add(s *watch) {
	e.Servers = append(e.Servers, s.Server)
	e.OpenTransaction = max(e.OpenTransaction, s.open)
	e.Instances = s.gate.Service.Instances
	for _, c := range s.seen {
		e.Clients = control.AddClient(e.Clients, c)
	}
	slices.SortFunc(e.Clients, func(a, b control.Client) int { return b.LastSeen.Compare(a.LastSeen) })
}

// Summary says on what the evidence stands, one line for each server: for whoever asks
// later why a switch was allowed.
func (e Evidence) Summary() []string {
	var all []string
	for _, s := range e.Servers {
		line := fmt.Sprintf("%s was watched for %s by %s", s.Host, e.Watched, cmp.Or(strings.Join(s.Evidence, ", "), "nothing"))
		for _, missing := range s.Missing {
			line += "; " + missing
		}
		all = append(all, line)
	}
	return all
}

// transactionLimit is how long an open transaction may have lasted. Longer ones are
// forgotten ones.
const transactionLimit = 5 * time.Second

// Judge says what of the evidence, and of the clients that were seen before, speaks against
// renaming the collection, each with what to do, and what an operator should only know.
func Judge(e Evidence, before []control.Client, policy plan.Gate) (refusals, warnings []string) {
	refuse := func(format string, args ...any) { refusals = append(refusals, fmt.Sprintf(format, args...)) }
	writers, readers, refused := sort(before, time.Now().Add(-policy.Window))
	if len(writers) > 0 {
		refuse("others wrote to the collection in the last %s: let them use the service, and wait until that is so long ago%s", policy.Window, list(writers))
	}
	if e.Writes > 0 {
		refuse("%d writes in %s were not the service's, the last to document %s: let whoever writes past the service use the service first",
			e.Writes, e.Watched, e.LastID)
	}
	if e.Replaced != "" {
		refuse("the collection as a whole was changed meanwhile (%s): let that job end, then run the command again", e.Replaced)
	}
	if e.OpenTransaction > transactionLimit {
		refuse("a transaction is open for %s: a rename waits for it, and everybody behind the rename; end it first",
			e.OpenTransaction.Round(time.Second))
	}
	for _, s := range e.Servers {
		for _, gap := range s.Gaps {
			refuse("what happened on %s from %s to %s is not known: %s; run the command again", s.Host, gap.From.Format(time.TimeOnly),
				gap.To.Format(time.TimeOnly), gap.Why)
		}
		if s.Writes > 0 && e.Instances == 0 {
			refuse("%d writes to the collection were counted on %s (top), and no instance of the service is registered: find out whose they are",
				s.Writes, s.Host)
		}
	}
	if len(readers) > 0 {
		sentence := fmt.Sprintf("others read the collection in the last %s%s", policy.Window, list(readers))
		if policy.Reads == plan.RefuseReads {
			refuse("%s\n  let them use the service, or set gate.reads to warn", sentence)
		} else {
			warnings = append(warnings, sentence)
		}
	}
	if len(refused) > 0 {
		warnings = append(warnings, "MongoDB refused the writes of others to names that the collection has left"+list(refused))
	}
	return refusals, warnings
}

// sort divides clients that were seen since a time by the worst that they did.
func sort(all []control.Client, since time.Time) (writers, readers, refused []control.Client) {
	for _, c := range all {
		switch {
		case c.LastSeen.Before(since):
		case c.LastWrite.After(since):
			writers = append(writers, c)
		case c.Refused > 0:
			refused = append(refused, c)
		default:
			readers = append(readers, c)
		}
	}
	return writers, readers, refused
}

// maxListed is how many clients a sentence lists.
const maxListed = 20

// list is the end of a sentence: a line for each client.
func list(all []control.Client) string {
	var b strings.Builder
	b.WriteString(":")
	for _, c := range all[:min(len(all), maxListed)] {
		fmt.Fprintf(&b, "\n    %s: %d writes, %d reads, %d refused, the last %s %s ago (%s on %s)", Name(c), c.Writes, c.Reads, c.Refused,
			c.Command, time.Since(c.LastSeen).Round(time.Second), c.Evidence, c.Server)
	}
	if more := len(all) - maxListed; more > 0 {
		fmt.Fprintf(&b, "\n    and %d more; `banyan-migrate clients` lists them", more)
	}
	return b.String()
}

// Name is a client as a person would say it.
func Name(c control.Client) string {
	text := fmt.Sprintf("%q from %s", c.Application, c.Address)
	if c.User != "" {
		text += " as " + c.User
	}
	return text + " on " + c.Namespace
}
