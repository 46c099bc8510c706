package list

import (
	"context"
	"fmt"
	"hash/maphash"
)

// readBatches reads the whole list, for the duplicates, and calls begin with each batch
// that is not done, in their order.
func readBatches(f *file, size int, done func(Span) bool, begin func(*batch) error) error {
	l, err := f.lines()
	if err != nil {
		return err
	}
	parse, line, err := l.start()
	if err != nil {
		return err
	}
	r := reader{lines: l, parse: parse, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	for more := true; more; {
		var b *batch
		if b, more, err = r.batch(line, size); err != nil {
			return err
		}
		line = ""
		if done(b.Span) {
			continue
		}
		if err := begin(b); err != nil {
			return err
		}
	}
	return l.Err()
}

type reader struct {
	*lines
	parse parser
	seed  maphash.Seed
	seen  map[uint64]struct{}
	at    int64 // where the next batch begins
}

// batch reads up to size recipients; first is a line that was read already. more is false
// at the end of the list.
func (r *reader) batch(first string, size int) (b *batch, more bool, err error) {
	b = &batch{results: map[string]int64{}}
	b.From = r.at
	for n := 0; n < size; n++ {
		line, ok := first, first != ""
		if first = ""; !ok {
			line, ok = r.next()
		}
		if !ok {
			b.To = r.position
			r.at = b.To
			return b, false, r.Err()
		}
		if err := r.add(b, line); err != nil {
			return nil, false, err
		}
	}
	b.To = r.position
	r.at = b.To
	return b, true, nil
}

// add adds a line to a batch: as a recipient, as a duplicate, or as invalid.
func (r *reader) add(b *batch, line string) error {
	row, err := r.parse(line)
	row.Line = r.number
	if err == nil {
		err = row.Validate()
	}
	if err != nil {
		b.results[Invalid]++
		b.failed = append(b.failed, failure{Line: row.Line, Result: Invalid, Why: err.Error()})
		return nil
	}
	hash := maphash.String(r.seed, row.key())
	if _, ok := r.seen[hash]; ok {
		b.results[Duplicate]++
		return nil
	}
	if len(r.seen) == MaxRecipients {
		return fmt.Errorf("read line %d of the list: more than %d recipients: split the list", r.number, MaxRecipients)
	}
	r.seen[hash] = struct{}{}
	b.rows = append(b.rows, row)
	return nil
}

// dryRun counts what would become of the rows before they are sent.
func dryRun(ctx context.Context, cfg Config, f *file, p Progress) (Progress, error) {
	err := readBatches(f, cfg.Batch, func(Span) bool { return false }, func(b *batch) error {
		for _, row := range b.rows {
			result := Ready
			if _, err := cfg.render(row); err != nil {
				result = Invalid
			}
			b.results[result]++
		}
		for result, n := range b.results {
			p.Results[result] += n
		}
		p.Position = b.To
		return context.Cause(ctx)
	})
	return p, err
}
