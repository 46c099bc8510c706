package archive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Problem is something in an archive that is not as it was written.
type Problem struct {
	Name string // of an object or a manifest
	Err  error
}

// Of a [Problem], beside [ErrCorrupt].
var (
	// ErrMissing is an object that a manifest lists, or a manifest that another one names.
	ErrMissing = errors.New("missing")
	// ErrExtra is an object that no manifest of its day lists, though there are some: it was
	// put there by somebody, or came after the day was sealed.
	ErrExtra = errors.New("extra")
)

// Totals are what a verification has seen.
type Totals struct {
	Objects, Records, Events int
	Bytes                    int64 // as they are stored
	// Unsealed is how many of the objects are of a day and shard without a manifest. They are
	// held to their names only, and nobody knows if some are missing.
	Unsealed int
}

// readers is how many objects are read at the same time.
const readers = 8

// Verify reads a part of an archive, whole days of it, and compares it with its manifests.
// problem is called for each difference, by one goroutine at a time. An error is returned where
// the archive could not be read. Objects may overlap: the events that two of them have are
// counted in both.
func Verify(ctx context.Context, store Store, within Range, problem func(Problem)) (Totals, error) {
	v := &verification{store: store, problem: problem}
	objects, err := days(ctx, store, eventsFolder, within)
	if err != nil {
		return v.totals, err
	}
	sealed, err := days(ctx, store, manifestsFolder, within)
	if err != nil {
		return v.totals, err
	}
	partitions := map[string]map[string]bool{}
	for _, d := range append(objects, sealed...) {
		if partitions[d.day] == nil {
			partitions[d.day] = map[string]bool{}
		}
		for _, s := range d.shards {
			partitions[d.day][s] = true
		}
	}
	for _, day := range slices.Sorted(maps.Keys(partitions)) {
		for _, shard := range slices.Sorted(maps.Keys(partitions[day])) {
			if err := v.verify(ctx, day, shard); err != nil {
				return v.totals, err
			}
		}
	}
	return v.totals, nil
}

type verification struct {
	store   Store
	problem func(Problem)

	mu     sync.Mutex
	totals Totals
}

func (v *verification) verify(ctx context.Context, day, shard string) error {
	manifests, err := readManifests(ctx, v.store, day, shard)
	if errors.Is(err, ErrCorrupt) {
		v.problem(Problem{manifestFolder(day, shard), err})
	} else if err != nil {
		return err
	}
	if err := v.verifyPrevious(ctx, manifests); err != nil {
		return err
	}
	listed := linesOf(manifests)
	isSealed := len(manifests) > 0 || err != nil
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(readers)
	for name, err := range v.store.List(ctx, partition(eventsFolder, day, shard), "") {
		if err != nil {
			return errors.Join(err, work.Wait())
		}
		line, ok := listed[name]
		delete(listed, name)
		work.Go(func() error { return v.verifyObject(ctx, name, line, ok, isSealed) })
	}
	if err := work.Wait(); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		v.problem(Problem{name, fmt.Errorf("object %s is %w: bring back an earlier version of it", name, ErrMissing)})
	}
	return nil
}

// verifyPrevious makes sure that the manifests of the day before are there.
func (v *verification) verifyPrevious(ctx context.Context, manifests []manifest) error {
	for _, m := range manifests {
		if m.PreviousDay == "" {
			continue
		}
		before, err := readManifests(ctx, v.store, m.PreviousDay, m.Shard)
		if err != nil && !errors.Is(err, ErrCorrupt) { // which is found by itself
			return err
		}
		if err == nil && len(before) == 0 {
			name := manifestFolder(m.PreviousDay, m.Shard)
			v.problem(Problem{name, fmt.Errorf("the manifest in %s is %w: bring back an earlier version of it", name, ErrMissing)})
		}
	}
	return nil
}

func (v *verification) verifyObject(ctx context.Context, name string, listed manifestLine, isListed, isSealed bool) error {
	line, err := inspect(ctx, v.store, name)
	_, nameErr := parseObject(name)
	isProblem := errors.Is(err, ErrCorrupt) || errors.Is(err, ErrNotFound) || nameErr != nil
	if err != nil && !isProblem {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case errors.Is(err, ErrNotFound):
		err = fmt.Errorf("%w: %w", ErrMissing, err)
	case nameErr != nil:
		err = fmt.Errorf("%w: %w", ErrExtra, nameErr)
	case err == nil && isListed && line != listed:
		err = corrupt(name, fmt.Errorf("its manifest has %+v, it has %+v", listed, line))
	case err == nil && isSealed && !isListed:
		err = fmt.Errorf("object %s is %w: it is in no manifest of its day; if it is the function's, seal the day again", name, ErrExtra)
	}
	if err != nil {
		v.problem(Problem{name, err})
	}
	v.totals.Objects++
	v.totals.Bytes += int64(line.Bytes)
	v.totals.Records += line.Records
	v.totals.Events += line.Events
	if !isSealed {
		v.totals.Unsealed++
	}
	return nil
}
