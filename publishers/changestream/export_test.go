package changestream

import (
	"context"

	"github.com/banyan-fig/banyan/infra/mongostream"
)

// Handle publishes the events of a change that the test made.
func (p *Publisher) Handle(ctx context.Context, c Change) (mongostream.Ack, error) {
	return p.handle(ctx, c)
}
