package logs

import (
	"context"
	"math/big"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Limits of PutLogEvents, from its API reference.
const (
	maxEvents   = 10_000
	maxBytes    = 1 << 20
	eventBytes  = 26 // counted for each event besides its message
	maxFuture   = 2 * time.Hour
	maxPast     = 14 * 24 * time.Hour
	maxTimespan = 24 * time.Hour
)

type createLogStreamInput struct {
	groupRef
	LogStreamName string `json:"logStreamName"`
}

func (s *Server) createLogStream(_ context.Context, in *createLogStreamInput, f fault.Fault) (*struct{}, error) {
	if !streamName.MatchString(in.LogStreamName) {
		return nil, invalid("1 validation error detected: Value '%s' at 'logStreamName' failed to satisfy constraint", in.LogStreamName)
	}
	return nil, s.locked(in.groupRef, f, func(g *group) error {
		if g.streams[in.LogStreamName] {
			return awsjson.Errorf("ResourceAlreadyExistsException", "The specified log stream already exists")
		}
		g.streams[in.LogStreamName] = true
		return nil
	})
}

type inputEvent struct {
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`
}

type putLogEventsInput struct {
	groupRef
	LogStreamName string       `json:"logStreamName"`
	LogEvents     []inputEvent `json:"logEvents"`
}

// rejected has indexes into the request; both ends are exclusive of what is taken.
type rejected struct {
	TooNewLogEventStartIndex *int `json:"tooNewLogEventStartIndex,omitempty"`
	TooOldLogEventEndIndex   *int `json:"tooOldLogEventEndIndex,omitempty"`
}

type putLogEventsOutput struct {
	NextSequenceToken     string    `json:"nextSequenceToken"`
	RejectedLogEventsInfo *rejected `json:"rejectedLogEventsInfo,omitempty"`
}

// nextToken is what the service answers too, since sequence tokens mean nothing.
const nextToken = "49000000000000000000000000000000000000000000000000000000"

func (s *Server) putLogEvents(_ context.Context, in *putLogEventsInput) (*putLogEventsOutput, error) {
	if err := checkEvents(in.LogEvents); err != nil {
		return nil, err
	}
	taken, info := s.inTime(in.LogEvents)
	out := &putLogEventsOutput{NextSequenceToken: nextToken, RejectedLogEventsInfo: info}
	return out, s.locked(in.groupRef, fault.Fault{}, func(g *group) error {
		if !g.streams[in.LogStreamName] {
			return notFound("The specified log stream does not exist.")
		}
		return s.subscribed(g, in.LogStreamName, taken)
	})
}

func checkEvents(events []inputEvent) error {
	if len(events) < 1 || len(events) > maxEvents {
		return invalid("1 validation error detected: Value at 'logEvents' failed to satisfy constraint: Member must have length between 1 and %d", maxEvents)
	}
	bytes := 0
	for i, e := range events {
		bytes += len(e.Message) + eventBytes
		switch {
		case e.Message == "":
			return invalid("1 validation error detected: Value '' at 'logEvents.%d.member.message' failed to satisfy constraint: Member must "+
				"have length greater than or equal to 1", i+1)
		case i > 0 && e.Timestamp < events[i-1].Timestamp:
			return invalid("Log events in a single PutLogEvents request must be in chronological order.")
		case e.Timestamp-events[0].Timestamp > maxTimespan.Milliseconds():
			return invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
		}
	}
	if bytes > maxBytes {
		return invalid("Upload too large: %d bytes exceeds limit of %d", bytes, maxBytes)
	}
	return nil
}

// inTime leaves out what is too old or too new.
func (s *Server) inTime(events []inputEvent) ([]inputEvent, *rejected) {
	now := s.cfg.Now()
	oldest, newest := now.Add(-maxPast).UnixMilli(), now.Add(maxFuture).UnixMilli()
	start, end := 0, len(events)
	for start < end && events[start].Timestamp < oldest {
		start++
	}
	for end > start && events[end-1].Timestamp > newest {
		end--
	}
	var info rejected
	if start > 0 {
		info.TooOldLogEventEndIndex = &start
	}
	if end < len(events) {
		info.TooNewLogEventStartIndex = &end
	}
	if info == (rejected{}) {
		return events, nil
	}
	return events[start:end], &info
}

// id of an event has 56 digits and grows with time, as the service's do.
func (s *Server) id(timestamp int64) string {
	s.events++
	n := new(big.Int).Lsh(big.NewInt(timestamp), 144)
	return n.Add(n, new(big.Int).SetUint64(s.events)).String()
}
