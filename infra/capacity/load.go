package capacity

import (
	"errors"
	"fmt"
	"time"
)

// Load is what there is to carry. Rate is needed; the zero value of everything
// else means the default.
type Load struct {
	// Rate is events a second, at the peak that is to be carried; it is also what
	// a month is charged with.
	Rate float64 `json:"rate"`
	// Size is the bytes of an encoded event. 0: 500, which the example's have at
	// most.
	Size int `json:"size"`
	// Key is the bytes of a partition key. 0: 24, an ObjectId in hex.
	Key int `json:"key"`
	// Use is the part of a shard and of provisioned write capacity that is used.
	// 0: 0.7.
	Use float64 `json:"use"`

	// Publishers are processes that publish. 0: 4. The more there are, the less
	// each can aggregate.
	Publishers int `json:"publishers"`
	// Linger and AggregateBytes are the publisher's settings, with its defaults.
	Linger         time.Duration `json:"linger"`
	AggregateBytes int           `json:"aggregateBytes"`
	// RoundTrip is the time of a PutRecords. 0: 15 ms.
	RoundTrip time.Duration `json:"roundTrip"`

	// ReadModels are functions that each get every event. 0: 2.
	ReadModels int `json:"readModels"`
	// Items are written by a read model for an event. 0: 3: the fact, a counter
	// and the watermark.
	Items float64 `json:"items"`
	// FanOut is items more for an event, over all read models, such as entries of
	// the followers' timelines.
	FanOut float64 `json:"fanOut"`
	// ItemBytes is the size of an item. 0: 300.
	ItemBytes int `json:"itemBytes"`
	// Plain says that items are not written in transactions.
	Plain bool `json:"plain"`
	// EnhancedFanOut gives each read model 2 MiB/s of each shard of its own.
	EnhancedFanOut bool `json:"enhancedFanOut"`

	// Batch and Window are those of the mappings. 0: 100 records, and none.
	Batch  int           `json:"batch"`
	Window time.Duration `json:"window"`
	// MemoryMB of a function. 0: 512.
	MemoryMB int `json:"memoryMB"`
	// Architecture is "arm64" (also "") or "x86_64".
	Architecture string `json:"architecture"`
	// Overhead of an invocation, and time for each event in it. 0: 10 ms, 1 ms.
	Overhead time.Duration `json:"overhead"`
	PerEvent time.Duration `json:"perEvent"`

	// Messages a second of a queue, to compare loops and mappings; 0: none. Loops
	// are functions that invoke themselves; 0: what the rate needs, each as fast
	// as a batch of ten every Overhead + 10 PerEvent.
	Messages float64 `json:"messages"`
	Loops    int     `json:"loops"`
	// LoopSeconds is how long such a function runs before the next. 0: 60.
	LoopSeconds float64 `json:"loopSeconds"`
}

func orDefault[T int | float64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func (l Load) withDefaults() Load {
	orDefault(&l.Size, 500)
	orDefault(&l.Key, 24)
	orDefault(&l.Use, 0.7)
	orDefault(&l.Publishers, 4)
	orDefault(&l.Linger, 5*time.Millisecond)
	orDefault(&l.AggregateBytes, 64<<10)
	orDefault(&l.RoundTrip, 15*time.Millisecond)
	orDefault(&l.ReadModels, 2)
	orDefault(&l.Items, 3)
	orDefault(&l.ItemBytes, 300)
	orDefault(&l.Batch, 100)
	orDefault(&l.MemoryMB, 512)
	orDefault(&l.Overhead, 10*time.Millisecond)
	orDefault(&l.PerEvent, time.Millisecond)
	orDefault(&l.LoopSeconds, 60)
	if l.Architecture == "" {
		l.Architecture = "arm64"
	}
	return l
}

// Validate names everything that is wrong with l.
func (l Load) Validate() error {
	l = l.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(l.Rate > 0 && l.Rate <= 1e7, "Rate %g is not between 0 and 10,000,000 events a second", l.Rate)
	check(l.Key >= 1 && l.Key <= 256, "Key %d is not between 1 and 256 bytes", l.Key)
	check(l.Size >= 1 && l.Size+l.Key <= 1<<20, "Size %d with its key is not between 1 byte and 1 MiB", l.Size)
	check(l.Use > 0 && l.Use <= 1, "Use %g is not between 0 and 1", l.Use)
	check(l.Publishers >= 1 && l.Publishers <= 1e6, "Publishers %d is not between 1 and 1,000,000", l.Publishers)
	check(l.Linger > 0 && l.Linger <= time.Hour && l.RoundTrip > 0 && l.RoundTrip <= time.Hour,
		"Linger %v and RoundTrip %v are not between 0 and an hour", l.Linger, l.RoundTrip)
	check(l.AggregateBytes >= 1 && l.AggregateBytes <= 1<<20, "AggregateBytes %d is not between 1 and 1 MiB", l.AggregateBytes)
	check(l.ReadModels >= 1 && l.ReadModels <= 100, "ReadModels %d is not between 1 and 100", l.ReadModels)
	check(l.Items > 0 && l.Items <= 1e6 && l.FanOut >= 0 && l.FanOut <= 1e9,
		"Items %g and FanOut %g are not between 0 and 1,000,000 and 1,000,000,000", l.Items, l.FanOut)
	check(l.Messages >= 0 && l.Messages <= 1e7 && l.Loops >= 0 && l.Loops <= 1e6,
		"Messages %g and Loops %d are not between 0 and 10,000,000 and 1,000,000", l.Messages, l.Loops)
	check(l.ItemBytes >= 1 && l.ItemBytes <= 400<<10, "ItemBytes %d is not between 1 and 400 KB", l.ItemBytes)
	check(l.Batch >= 1 && l.Batch <= 10_000, "Batch %d is not between 1 and 10,000", l.Batch)
	check(l.Window >= 0 && l.Window <= 300*time.Second, "Window %v is not between 0 and 300 s", l.Window)
	check(l.MemoryMB >= 128 && l.MemoryMB <= 10240, "MemoryMB %d is not between 128 and 10,240", l.MemoryMB)
	most := 15 * time.Minute
	check(l.Overhead > 0 && l.Overhead <= most && l.PerEvent > 0 && l.PerEvent <= most && l.LoopSeconds > 0 && l.LoopSeconds <= most.Seconds(),
		"Overhead %v, PerEvent %v and LoopSeconds %g are not between 0 and 15 minutes", l.Overhead, l.PerEvent, l.LoopSeconds)
	check(l.Architecture == "arm64" || l.Architecture == "x86_64", "Architecture %q is neither arm64 nor x86_64", l.Architecture)
	if len(errs) > 0 {
		return fmt.Errorf("capacity: load: %w", errors.Join(errs...))
	}
	return nil
}
