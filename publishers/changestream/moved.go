package changestream

import "github.com/banyan-fig/banyan/infra/mongostream"

// belongs reports whether a change is one of the mapping's collections, and gives it the
// collection's public name. What somebody writes to a name that migrate has moved the
// collection away from belongs to none: migrate shows it to its operator.
func (p *Publisher) belongs(c *Change) bool {
	name := c.Collection
	if p.cfg.Mapping.Collections[name] == nil {
		name = mongostream.PublicName(name)
	}
	switch {
	case p.cfg.Mapping.Collections[name] == nil:
		return false
	case p.moves.IsStray(c):
		p.cfg.Log.Warn("a change under a name that the collection has left is not published", "change", c)
		return false
	}
	c.Collection = name
	return true
}

func (p *Publisher) noteMove(c Change) {
	p.moves.Note(c)
	p.cfg.Log.Info("migrate moved a collection; it is followed", "event", &c)
}
