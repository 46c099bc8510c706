package publisherstest

import (
	"bytes"
	"fmt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/publishers"
)

func oneKeyKeepsItsOrder(s *subject) {
	s.make(Options{})
	s.publish("one", 500)
	s.check(map[string]int{"one": 500})
}

func manyKeysAtOnceKeepTheirOrder(s *subject) {
	s.make(Options{})
	const producers, keys, rounds = 4, 8, 25
	published := make(map[string]int)
	for i := range producers * keys {
		published[fmt.Sprintf("key%d", i)] = rounds
	}
	s.together(producers, func(producer int) {
		var receipts []publishers.Receipt
		for n := range rounds {
			for k := range keys {
				receipts = append(receipts, s.enqueue(fmt.Sprintf("key%d", producer*keys+k), n))
			}
		}
		for i, r := range receipts {
			s.await(r, fmt.Sprintf("event %d of producer %d", i, producer))
		}
	})
	s.check(published)
}

// oneKeyFromManyGoroutines has an order only where one call returned before the
// other began: within each goroutine.
func oneKeyFromManyGoroutines(s *subject) {
	s.make(Options{})
	const producers, each = 8, 50
	s.together(producers, func(producer int) {
		var receipts []publishers.Receipt
		for i := range each {
			receipts = append(receipts, s.enqueue("shared", producer*each+i))
		}
		for i, r := range receipts {
			s.await(r, id("shared", producer*each+i))
		}
	})
	parts := make([][]int, producers)
	for _, n := range s.numbers()["shared"] {
		parts[n/each] = append(parts[n/each], n%each)
	}
	for producer, numbers := range parts {
		if err := CheckOrder(fmt.Sprintf("shared, of goroutine %d", producer), numbers, each); err != nil {
			s.Error(err)
		}
	}
}

func encodedAndPlainEventsShareOneOrder(s *subject) {
	s.make(Options{})
	var receipts []publishers.Receipt
	for i := range 60 {
		if i%3 != 0 {
			receipts = append(receipts, s.enqueue("both", i))
			continue
		}
		ctx, cancel := limited()
		r, err := s.Publisher.Enqueue(ctx, event("both", i))
		cancel()
		if err != nil {
			s.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	for i, r := range receipts {
		s.await(r, id("both", i))
	}
	s.check(map[string]int{"both": 60})
}

func bytesAreKeptAsTheyAre(s *subject) {
	s.make(Options{})
	want := encoded("bytes é", 0)
	s.await(s.enqueue("bytes é", 0), "the event")
	ctx, cancel := limited()
	defer cancel()
	kept, err := s.Kept(ctx)
	if err != nil {
		s.Fatal(err)
	}
	for _, r := range kept {
		if r.PartitionKey != "bytes é" || !bytes.Equal(r.Data, want) {
			s.Errorf("kept %s of key %q, want %s", r.Data, r.PartitionKey, want)
		}
	}
	if len(kept) == 0 {
		s.Error("nothing is kept")
	}
}

// positionsGrowWithinAKey also accepts a publisher without positions.
func positionsGrowWithinAKey(s *subject) {
	s.make(Options{})
	var receipts []publishers.Receipt
	for i := range 100 {
		receipts = append(receipts, s.enqueue("key", i))
	}
	var last events.Position
	for i, r := range receipts {
		pos := s.await(r, id("key", i))
		if pos.IsZero() {
			continue
		}
		if !last.Before(pos) {
			s.Errorf("event %d at %v is not behind its predecessor at %v", i, pos, last)
		}
		last = pos
	}
}
