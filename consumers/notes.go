package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// Notes keeps, for all processes of a consumer, what one of them cannot know: that the
// process before it died, and with which events in hand. Kinesis gives no count of
// deliveries, and a process that dies (os.Exit, out of memory, a time-out, a panic of a
// goroutine of the handler's) gives no answer.
//
// A process reads notes once and writes one with its first batch of each shard, before it
// handles it: that may be the batch that ended the process before. Where it is, the
// process handles the events that were in hand in up to 16 parts, with a note before
// each, so that after few deaths one event is alone in hand. The death of two processes
// in a row with the same event alone in hand makes it a dead letter. So of n events the
// one that ends processes is found after 3 deaths where n is 1, 4 up to 16, 5 up to 256,
// and 7 up to 10,000; a mapping that bisects adds one for each half that it goes on with.
// Each warm environment that is given the batch may die once more before that, unnoted.
//
// Further writes are one for each delivery whose first event used up its share, see
// AddAttempts, and one for a first batch that failed though its process lived on.
//
// A reader is a consumer's name and, behind an @, the ARN of the stream. A stream that is read anew
// from exactly where a noted batch began, within an hour, goes on behind what that process had finished.
//
// Safe for concurrent use. What cannot be read or written in a second is done without, and
// in Report.Errors.
type Notes interface {
	// ReadNotes returns the last notes, 25 at most, of batches that begin no later than
	// upTo.
	ReadNotes(ctx context.Context, reader string, upTo events.Position) ([]Note, error)
	// WriteNote writes n in the place of an earlier one of the same batch.
	WriteNote(ctx context.Context, reader string, n Note) error
	// AddAttempts adds to the attempts at the event at p and returns all there were.
	AddAttempts(ctx context.Context, reader string, p events.Position, n int) (total int, err error)
}

// Note says with which events of a batch a process began.
type Note struct {
	// Batch is the first event of the batch, From the first that the process began with;
	// those between are finished.
	Batch, From events.Position
	// InHand is how many events the process began with. 0: it lived on.
	InHand int
	// Alone is how many processes in a row began with the event at From alone in hand.
	Alone int
	// At is when it was written.
	At time.Time
}

const (
	// partsOfBatch is into how many parts a batch is cut that ended a process.
	partsOfBatch = 16
	// maxDeaths is how many processes an event may end when it is alone in hand.
	maxDeaths = 2
	// noteLife is how long a note is believed.
	noteLife    = time.Hour
	noteTimeout = time.Second
)

// runNoted handles a batch that may have ended the process before this one. It reports
// whether a process did die with events of this batch, or of one that it was cut from.
func (d *delivery) runNoted() (died bool) {
	note, from := d.findNote()
	for _, t := range d.tasks[:from] {
		t.done = outcome{kind: stale}
	}
	isSuspect := from < len(d.tasks) && d.tasks[from].Message.Position == note.From
	hand := 0 // as many events from here on may end the process
	if isSuspect {
		hand = min(note.InHand, len(d.tasks)-from)
	}
	if hand == 1 && note.Alone >= maxDeaths {
		t := d.tasks[from]
		t.done = d.settle(t, fmt.Errorf("the process died %d times in a row with this event alone in hand", note.Alone))
		from, hand = from+1, 0
	}
	for whole := len(firstRedelivered(d.tasks[:from])) == 0; whole && from < len(d.tasks); {
		part := d.tasks[from:]
		if hand > 0 {
			part = part[:min(hand, (note.InHand+partsOfBatch-1)/partsOfBatch)]
		}
		next := Note{From: part[0].Message.Position, InHand: len(part)}
		if len(part) == 1 {
			next.Alone = 1
			if note.InHand == 1 && next.From == note.From {
				next.Alone += note.Alone
			}
		}
		d.writeNote(next)
		whole = d.runPart(part, d.settle)
		from, hand = from+len(part), max(0, hand-len(part))
	}
	first := append(firstRedelivered(d.tasks), d.tasks[len(d.tasks)-1])[0]
	if isSuspect || first.done.isRedelivered() {
		d.writeNote(Note{From: first.Message.Position}) // or what comes next would take this process for dead
	}
	return note.InHand > 0
}

// findNote returns the last note about events of this batch, and how many events at its
// beginning are finished. Events between those of a batch may be in another one, which
// runs beside it: a mapping can hand over several parts of a shard.
func (d *delivery) findNote() (last Note, finished int) {
	ctx, cancel := context.WithTimeout(d.work, noteTimeout)
	defer cancel()
	notes, err := d.cfg.Notes.ReadNotes(ctx, d.reader(), d.tasks[len(d.tasks)-1].Message.Position)
	if err != nil {
		d.errs = append(d.errs, fmt.Errorf("read whether a process died with this batch: %w", err))
		return Note{}, 0
	}
	index := make(map[events.Position]int, len(d.tasks))
	for i, t := range d.tasks {
		index[t.Message.Position] = i
	}
	now := d.cfg.Now()
	for _, n := range notes {
		at, has := index[n.From]
		begin, begins := index[n.Batch]
		isAnew := d.tasks[0].Message.Position.Before(n.Batch) // the stream is read anew, and nothing is finished
		if !n.At.After(last.At) || now.Sub(n.At) > noteLife || isAnew || !has && !(begins && begin == 0) {
			continue
		}
		if last = n; !has {
			at = len(d.tasks) // it was cut before what was in hand
		}
		finished = at
	}
	if last.InHand == 0 {
		return Note{}, 0
	}
	return last, finished
}

func (d *delivery) reader() string { return d.cfg.Name + "@" + d.tasks[0].Stream }

func (d *delivery) writeNote(n Note) {
	ctx, cancel := context.WithTimeout(d.ctx, noteTimeout)
	defer cancel()
	n.Batch, n.At = d.tasks[0].Message.Position, d.cfg.Now()
	if err := d.cfg.Notes.WriteNote(ctx, d.reader(), n); err != nil {
		d.errs = append(d.errs, fmt.Errorf("write down which events are in hand: %w", err))
	}
}
