package ship

import "github.com/banyan-fig/banyan/infra/ops/logs/internal/line"

// gaps looks for holes in the platform's lines of each log stream within one
// batch, whose records follow each other without a hole of their own. Only lines
// that are new count: after one that was shipped before, nothing is known until
// the next start. Where there are no starts at all, none is missing: a function
// whose system log level is WARN has reports of its failures alone.
type gaps struct {
	streams map[string]*invocations
	found   int
}

type invocations struct {
	known bool   // a start was seen
	open  string // the request that began and has not ended
}

func (g *gaps) of(x *entry) *invocations {
	if g.streams == nil {
		g.streams = map[string]*invocations{}
	}
	name := x.log.LogGroup + "\x00" + x.log.LogStream
	if g.streams[name] == nil {
		g.streams[name] = &invocations{}
	}
	return g.streams[name]
}

// note must get the shipped entries in their order.
func (g *gaps) note(x *entry) {
	if x.platform == nil {
		return
	}
	s := g.of(x)
	if x.state == doubled {
		*s = invocations{}
		return
	}
	switch id := x.platform.RequestID; x.platform.Kind {
	case line.Start:
		if s.known && s.open != "" {
			g.found++ // the end of the one before is missing
		}
		*s = invocations{known: true, open: id}
	case line.Report:
		if s.known && s.open != id {
			g.found++ // its start is missing
		}
		s.open = ""
	}
}
