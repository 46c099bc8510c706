package archive

import (
	"context"
	"iter"
)

// Objects lists the objects of a part of an archive by day, shard and position, for whoever
// handles each as a whole. Of the range only the days and the shards count.
func Objects(ctx context.Context, store Store, within Range) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		days, err := days(ctx, store, eventsFolder, within)
		if err != nil {
			yield("", err)
			return
		}
		for _, d := range days {
			for _, shard := range d.shards {
				for name, err := range store.List(ctx, partition(eventsFolder, d.day, shard), "") {
					if !yield(name, err) || err != nil {
						return
					}
				}
			}
		}
	}
}

// OpenObject reads one object, of a name that Objects gave or S3 notified of, and compares it
// with the digest in its name, before anything of it is used.
func OpenObject(ctx context.Context, store Store, name string) (Cursor, error) {
	c, err := openObject(ctx, store, name)
	if err != nil {
		return nil, err
	}
	return c, nil
}
