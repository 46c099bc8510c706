package streams

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/filter"
)

const (
	// pageLimit is the most records one read may ask for (Kinesis, GetRecords).
	pageLimit = 10000
	// laneRoom is how many records a lane holds at least, so that a small batch
	// size does not mean many small reads.
	laneRoom = 500
	// behindPause keeps a reader that is behind, but gets nothing, from spinning.
	behindPause = 5 * time.Millisecond
)

// shard is what a mapping knows of one shard, kept across runs.
type shard struct {
	id      string
	parents []string
	start   Position // where the present run began
	since   time.Time
	lanes   []*lane
	read    string // the last sequence number that all lanes were given in this run
	begun   bool   // an iterator was had before

	mu       sync.Mutex
	finished bool
}

func (s *shard) isFinished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finished
}

// run reads and delivers until the shard is at its end and all of it has been
// dealt with, or the context ends. It calls begun once it has an iterator or
// failed to get one because of the context, and says on ended that it is over.
func (s *shard) run(ctx context.Context, cfg Config, set Settings, begun func(), ended chan<- string) {
	from := s.resume(set.Lanes, set.BatchSize)
	var wg sync.WaitGroup
	for _, l := range s.lanes {
		d := &delivery{
			shard: s.id, lane: l, settings: set, pace: cfg.Pace,
			invoker: cfg.Invoker, destination: cfg.Destination, status: cfg.Status,
		}
		wg.Go(func() { d.run(ctx) })
	}
	err := s.readAll(ctx, cfg, set, from, begun)
	for _, l := range s.lanes {
		if err == nil {
			l.seal()
		}
	}
	wg.Wait()
	if err != nil || ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	s.finished = true
	s.mu.Unlock()
	select {
	case ended <- s.id:
	case <-ctx.Done():
	}
}

// resume prepares the lanes and returns where to read from: at the oldest
// record that has not been dealt with. What newer records other lanes had
// dealt with is left out when it is read again, unless the number of lanes was
// changed: then it is delivered again.
func (s *shard) resume(lanes, batch int) Position {
	from := s.position()
	if len(s.lanes) != lanes {
		s.lanes = make([]*lane, lanes)
		for i := range s.lanes {
			s.lanes[i] = newLane(0)
		}
	}
	for _, l := range s.lanes {
		l.limit = max(batch, laneRoom)
		l.reopen()
	}
	s.start, s.read = from, ""
	return from
}

// position relies on this: once a page was handed to all its lanes, what waits
// is not newer than what was read. Something newer is from a page that only
// some lanes got, and that has to be read again as a whole.
func (s *shard) position() Position {
	oldest := ""
	for _, l := range s.lanes {
		if seq, some := l.oldest(); some && (oldest == "" || less(seq, oldest)) {
			oldest = seq
		}
	}
	if oldest != "" && s.read != "" && !less(s.read, oldest) {
		return Position{Start: AtSequenceNumber, Sequence: oldest}
	}
	return s.last()
}

// readAll reads to the end of the shard. An error means the context's end.
func (s *shard) readAll(ctx context.Context, cfg Config, set Settings, from Position, begun func()) error {
	iterator, err := s.iterator(ctx, cfg, from)
	s.begun = s.begun || err == nil
	begun()
	for failures := 0; err == nil && iterator != ""; {
		var page Page
		page, err = cfg.Source.Read(ctx, s.id, iterator, s.pageSize())
		switch {
		case errors.Is(err, ErrIteratorExpired):
			iterator, err = s.iterator(ctx, cfg, s.last())
			continue
		case err != nil:
			cfg.Status.problem(err.Error())
			err = backoff.Sleep(ctx, cfg.Pace.pause(failures))
			failures++
			continue
		}
		failures = 0
		if err = s.dispatch(ctx, page.Records, set.Filter); err != nil {
			break
		}
		iterator = page.Next
		if len(page.Records) == 0 && iterator != "" {
			err = backoff.Sleep(ctx, idle(page, cfg.Pace))
		}
	}
	return err
}

func idle(p Page, pace Pace) time.Duration {
	if p.Behind {
		return min(behindPause, pace.Idle)
	}
	return pace.Idle
}

// last is where to go on when an iterator is no longer there. LATEST would now
// be later than it was.
func (s *shard) last() Position {
	switch {
	case s.read != "":
		return Position{Start: AfterSequenceNumber, Sequence: s.read}
	case s.begun && s.start.Start == Latest:
		return Position{Start: AtTimestamp, Time: s.since}
	default:
		return s.start
	}
}

// iterator asks until it gets one. A position that the stream no longer holds
// gives way to the oldest that it does.
func (s *shard) iterator(ctx context.Context, cfg Config, at Position) (string, error) {
	for n := 0; ; n++ {
		it, err := cfg.Source.Iterator(ctx, s.id, at)
		if err == nil {
			return it, nil
		}
		if errors.Is(err, ErrTrimmed) {
			at = Position{Start: TrimHorizon}
		}
		cfg.Status.problem(err.Error())
		if err := backoff.Sleep(ctx, cfg.Pace.pause(n)); err != nil {
			return "", err
		}
	}
}

func (s *shard) pageSize() int { return min(pageLimit, s.lanes[0].limit*len(s.lanes)) }

// dispatch hands each lane its records. The same key always has the same lane.
// What is filtered out is read and done with.
func (s *shard) dispatch(ctx context.Context, records []Record, keep *filter.Criteria) error {
	if len(records) == 0 {
		return nil
	}
	parts := make([][]Record, len(s.lanes))
	for _, r := range records {
		if !keep.Keeps(r.Event) {
			continue
		}
		n := laneOf(r.Key, len(s.lanes))
		parts[n] = append(parts[n], r)
	}
	for n, part := range parts {
		if len(part) == 0 {
			continue
		}
		if err := s.lanes[n].push(ctx, part); err != nil {
			return err
		}
	}
	s.read = records[len(records)-1].Sequence
	return nil
}

func laneOf(key string, lanes int) int {
	if lanes == 1 {
		return 0
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(key))
	return int(h.Sum32() % uint32(lanes))
}
