package lambda

import (
	"net/http"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/sources"
)

// eventSettings is how invocations as an event are retried and given up on.
type eventSettings struct {
	retries   int
	age       time.Duration
	onFailure string // ARN of a queue, or ""
}

var defaultEventSettings = eventSettings{retries: asyncRetries, age: maxAsyncAge}

const leastAsyncAge = time.Minute

// condition is why an event of this age, on which the function failed so often, is
// given up on, or "".
func (s eventSettings) condition(failures int, age time.Duration) string {
	switch {
	case failures > s.retries:
		return sources.EventRetriesExhausted
	case age > s.age:
		return sources.EventAgeExceeded
	}
	return ""
}

type eventInput struct {
	DestinationConfig        *destinationConfig
	MaximumEventAgeInSeconds *int
	MaximumRetryAttempts     *int
}

type eventOutput struct {
	DestinationConfig        destinationConfig
	FunctionArn              string
	LastModified             float64
	MaximumEventAgeInSeconds int
	MaximumRetryAttempts     int
}

// putEvents is the operation PutFunctionEventInvokeConfig: what is left out has
// its default again.
func (h *Host) putEvents(r *http.Request) (int, any, error) {
	var in eventInput
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	s, err := in.settings()
	if err != nil {
		return 0, nil, err
	}
	v, qualifier, unlock, err := h.lockRevision(r)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	f := v.function
	if f.events == nil {
		f.events = map[string]eventSettings{}
	}
	if qualifier == "" {
		qualifier = latest
	}
	f.events[qualifier] = s
	out := eventOutput{
		FunctionArn: h.arn(f.name, qualifier), LastModified: toSeconds(time.Now()),
		MaximumEventAgeInSeconds: int(s.age / time.Second), MaximumRetryAttempts: s.retries,
	}
	if s.onFailure != "" {
		out.DestinationConfig.OnFailure = &destinationARN{s.onFailure}
	}
	return http.StatusOK, out, nil
}

func (in eventInput) settings() (eventSettings, error) {
	s := defaultEventSettings
	if n := in.MaximumRetryAttempts; n != nil {
		if *n < 0 || *n > asyncRetries {
			return s, outside("maximumRetryAttempts", *n, 0, asyncRetries)
		}
		s.retries = *n
	}
	if n := in.MaximumEventAgeInSeconds; n != nil {
		if least, most := int(leastAsyncAge/time.Second), int(maxAsyncAge/time.Second); *n < least || *n > most {
			return s, outside("maximumEventAgeInSeconds", *n, least, most)
		}
		s.age = time.Duration(*n) * time.Second
	}
	d := in.DestinationConfig
	if d != nil && d.OnSuccess != nil && d.OnSuccess.Destination != "" {
		return s, notImplemented("on-success destinations of events")
	}
	var err error
	s.onFailure, err = d.failureQueue()
	return s, err
}

// eventSettings finds what holds for a call.
func (h *Host) eventSettings(ref reference) eventSettings {
	h.mu.Lock()
	defer h.mu.Unlock()
	qualifier := ref.qualifier
	if qualifier == "" {
		qualifier = latest
	}
	if f := h.functions[ref.name]; f != nil {
		if s, set := f.events[qualifier]; set {
			return s
		}
	}
	return defaultEventSettings
}
