package warehouse

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/banyan-fig/banyan/consumers/archive"
)

// LoadObject loads one object of an archive. The name of the batch follows from that of the
// object, in which are the positions and a digest.
func (l *Loader) LoadObject(ctx context.Context, from archive.Store, name string) (Result, error) {
	records, err := archive.OpenObject(ctx, from, name)
	if err != nil {
		return Result{}, fmt.Errorf("warehouse: %w", err)
	}
	return l.Load(ctx, batchName(name), func(yield func(Event, error) bool) {
		for r, err := range archive.All(ctx, records) {
			if err != nil {
				yield(Event{}, err)
				return
			}
			for i, e := range r.Events {
				if !yield(Event{r.Position(i), r.Shard, r.Arrived, e.Raw}, nil) {
					return
				}
			}
		}
	})
}

// digestLength is enough of a digest, as the positions are in the name as well.
const digestLength = 16

// batchName makes shard-first-last-digest of events/day=D/shard=S/first-last-digest.ndjson.gz.
func batchName(object string) string {
	shard := strings.TrimPrefix(path.Base(path.Dir(object)), "shard=")
	base, _, _ := strings.Cut(path.Base(object), ".")
	if i := strings.LastIndexByte(base, '-'); i >= 0 {
		base = base[:min(len(base), i+1+digestLength)]
	}
	return shard + "-" + base
}
