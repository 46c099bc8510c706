package publisherstest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"sync"
)

// CheckOrder returns what is wrong with the events of one key as a reader gets
// them, given by their numbers from 0 in the order of publishing, of which there
// were so many. A number may come again, but then every one after it comes again
// too: so nothing is lost, and no event ends up behind its successor for good.
func CheckOrder(key string, numbers []int, published int) error {
	next := 0 // the greatest number that may come now
	for i, n := range numbers {
		if n > next || n < 0 {
			return fmt.Errorf("key %s: event %d came before event %d: ... %v", key, n, next, numbers[max(0, i-10):i+1])
		}
		next = n + 1
	}
	if next != published {
		return fmt.Errorf("key %s: it ends with event %d of %d", key, next-1, published)
	}
	return nil
}

// Body is the event of a key with a number: short, and not a CloudEvent, so that
// millions fit into a test.
func Body(key string, number int) []byte {
	b := make([]byte, 0, len(key)+12)
	b = append(b, key...)
	b = append(b, '#')
	b = strconv.AppendInt(b, int64(number), 10)
	return append(b, '#')
}

// Number is that of an event that [Body] made, whatever was appended to it.
func Number(r Record) (int, error) {
	rest, ok := bytes.CutPrefix(r.Data, []byte(r.PartitionKey+"#"))
	digits, _, ok2 := bytes.Cut(rest, []byte("#"))
	n, err := strconv.Atoi(string(digits))
	if !ok || !ok2 || err != nil {
		return 0, fmt.Errorf("%.80q of key %.80q was never published", r.Data, r.PartitionKey)
	}
	return n, nil
}

// Ledger knows how many events of each key were published. The zero value is
// empty. Safe for concurrent use, but the order of one key is that of its caller.
type Ledger struct {
	mu        sync.Mutex
	published map[string]int
}

// Next enters one more event of key and returns its body and its number.
func (l *Ledger) Next(key string) (body []byte, number int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.published == nil {
		l.published = make(map[string]int)
	}
	number = l.published[key]
	l.published[key] = number + 1
	return Body(key, number), number
}

// Len is how many events were entered.
func (l *Ledger) Len() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, published := range l.published {
		n += published
	}
	return n
}

// Check holds what is kept against what was entered and returns how many events
// are there more than once, or why that is not what was published, for every key
// where it is not.
func (l *Ledger) Check(kept []Record) (duplicates int, err error) {
	numbers := make(map[string][]int)
	for _, r := range kept {
		n, err := Number(r)
		if err != nil {
			return 0, err
		}
		numbers[r.PartitionKey] = append(numbers[r.PartitionKey], n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	total := 0
	for key, published := range l.published {
		total += published
		errs = append(errs, CheckOrder(key, numbers[key], published))
		delete(numbers, key)
	}
	for key := range numbers {
		errs = append(errs, fmt.Errorf("key %s was never published", key))
	}
	return len(kept) - total, errors.Join(errs...)
}
