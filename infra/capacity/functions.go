package capacity

import "math"

// payload is how many bytes of records an invocation gets, which are written in
// base64 there: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const payload = 6_000_000 * 3 / 4

// poll is how often a mapping asks a shard, in seconds.
const poll = 1.0

// Functions is what all read models need in a second.
type Functions struct {
	Count           int     `json:"count"`
	Invocations     float64 `json:"invocations"`
	Events          float64 `json:"eventsPerInvocation"`
	Seconds         float64 `json:"secondsPerInvocation"`
	Concurrency     float64 `json:"concurrency"`     // on average
	Most            int     `json:"mostConcurrency"` // what the mappings may use: reserve it
	Parallelization int     `json:"parallelization"` // factor of the mappings
	Behind          bool    `json:"fallsBehind"`     // also with the largest factor
	GBSeconds       float64 `json:"gbSeconds"`
}

// Functions estimates what the read models need behind a stream.
func (l Load) Functions(s Stream) Functions {
	l = l.withDefaults()
	perShard := s.Records / float64(s.Shards)
	batch := min(float64(l.Batch), math.Max(1, perShard*math.Max(poll, l.Window.Seconds())), math.Max(1, payload/s.RecordBytes))
	f := Functions{Count: l.ReadModels, Events: batch * s.EventsPerRecord}
	f.Invocations = s.Records / batch * float64(l.ReadModels)
	f.Seconds = l.Overhead.Seconds() + f.Events*l.PerEvent.Seconds()
	f.Concurrency = f.Invocations * f.Seconds
	busy := perShard / batch * f.Seconds // of one shard, of one read model
	f.Parallelization = min(max(int(math.Ceil(busy)), 1), 10)
	f.Behind = busy > 10
	f.Most = s.Shards * f.Parallelization * l.ReadModels
	f.GBSeconds = f.Concurrency * float64(l.MemoryMB) / 1024
	return f
}

// Tables is what is written in a second.
type Tables struct {
	Items      float64 `json:"items"`
	WriteUnits float64 `json:"writeUnits"`
}

// Tables estimates how much the read models write, at most.
func (l Load) Tables() Tables {
	l = l.withDefaults()
	t := Tables{Items: l.Rate * (float64(l.ReadModels)*l.Items + l.FanOut)}
	t.WriteUnits = t.Items * math.Ceil(float64(l.ItemBytes)/1024)
	if !l.Plain {
		t.WriteUnits *= 2
	}
	return t
}
