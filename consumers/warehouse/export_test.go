package warehouse

import (
	"time"

	"github.com/banyan-fig/banyan/events"
)

// Row is the line of one event.
func Row(c *Catalog, p events.Position, shard string, arrived time.Time, raw []byte) (*Table, []byte, error) {
	return c.row(Event{p, shard, arrived, raw})
}
