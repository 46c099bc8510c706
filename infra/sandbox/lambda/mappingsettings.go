package lambda

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/streams"
)

// mappingInput is a request to create a mapping. What the host does
// not implement is listed so as to accept it when it asks for nothing.
type mappingInput struct {
	BatchSize                      *int
	BisectBatchOnFunctionError     *bool
	DestinationConfig              *destinationConfig
	Enabled                        *bool
	EventSourceArn                 string
	FilterCriteria                 json.RawMessage
	FunctionName                   string
	FunctionResponseTypes          *[]string
	MaximumBatchingWindowInSeconds *int
	MaximumRecordAgeInSeconds      *int
	MaximumRetryAttempts           *int
	ParallelizationFactor          *int
	StartingPosition               string
	Tags                           map[string]string
	TumblingWindowInSeconds        *int
}

type destinationConfig struct {
	OnFailure *destinationARN `json:",omitempty"`
	OnSuccess *destinationARN `json:",omitempty"`
}

type destinationARN struct {
	Destination string `json:",omitempty"`
}

// mappingOutput is the API's EventSourceMappingConfiguration.
type mappingOutput struct {
	BatchSize                      int
	BisectBatchOnFunctionError     bool
	DestinationConfig              destinationConfig
	EventSourceArn                 string
	EventSourceMappingArn          string
	FunctionArn                    string
	FunctionResponseTypes          []string `json:",omitempty"`
	LastModified                   float64
	LastProcessingResult           string
	MaximumBatchingWindowInSeconds int
	MaximumRecordAgeInSeconds      int
	MaximumRetryAttempts           int
	ParallelizationFactor          int
	StartingPosition               string
	State                          string
	StateTransitionReason          string
	TumblingWindowInSeconds        int
	UUID                           string
}

// wanted is what a mapping is to be.
type wanted struct {
	ref       reference
	settings  streams.Settings
	onFailure string // ARN of a queue
	enabled   bool
	modified  time.Time
}

// create checks a new mapping's parameters and fills in the defaults (API
// reference, CreateEventSourceMapping).
func (in mappingInput) create() (wanted, error) {
	if err := in.checkSource(); err != nil {
		return wanted{}, err
	}
	w := wanted{enabled: true, settings: streams.Settings{BatchSize: defaultBatch, Lanes: 1, Retries: streams.Unlimited}}
	start := streams.Start(in.StartingPosition)
	switch start {
	case streams.TrimHorizon, streams.Latest:
	case streams.AtTimestamp:
		return wanted{}, notImplemented("StartingPosition AT_TIMESTAMP")
	case "":
		return wanted{}, invalid("1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: Member must not be null.")
	default:
		return wanted{}, violates("1 validation error detected: Value '%s' at 'startingPosition' failed to satisfy constraint: "+
			"Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]", start)
	}
	w.settings.Start.Start = start
	return w, in.apply(&w)
}

func (in mappingInput) checkSource() error {
	parts := strings.Split(in.EventSourceArn, ":")
	switch {
	case len(parts) < 6 || parts[0] != "arn":
		return invalid("Unrecognized event source: %q is not an ARN.", in.EventSourceArn)
	case parts[2] == "kinesis" && strings.HasPrefix(parts[5], "stream/") && !strings.Contains(parts[5], "/consumer/"):
		return nil
	case parts[2] == "dynamodb" && strings.Contains(in.EventSourceArn, "/stream/"):
		return nil
	case parts[2] == "sqs":
		return notImplemented("event source mappings for SQS: only Kinesis and DynamoDB streams")
	}
	return notImplemented("event source mappings for %s: only Kinesis and DynamoDB streams", in.EventSourceArn)
}

// apply makes the changes a request asks for, within the documented bounds.
func (in mappingInput) apply(w *wanted) error {
	switch {
	case !trivial(in.FilterCriteria) && !trivialFilter(in.FilterCriteria):
		return notImplemented("FilterCriteria: filter in the function")
	case in.TumblingWindowInSeconds != nil && *in.TumblingWindowInSeconds != 0:
		return notImplemented("TumblingWindowInSeconds")
	}
	for _, n := range []struct {
		name        string
		value       *int
		least, most int
	}{
		{"batchSize", in.BatchSize, 1, 10000},
		{"maximumBatchingWindowInSeconds", in.MaximumBatchingWindowInSeconds, 0, 300},
		{"parallelizationFactor", in.ParallelizationFactor, 1, 10},
		{"maximumRetryAttempts", in.MaximumRetryAttempts, -1, 10000},
		{"maximumRecordAgeInSeconds", in.MaximumRecordAgeInSeconds, -1, 604800},
	} {
		if n.value != nil && (*n.value < n.least || *n.value > n.most) {
			return outside(n.name, *n.value, n.least, n.most)
		}
	}
	if age := in.MaximumRecordAgeInSeconds; age != nil && *age != -1 && *age < 60 {
		return invalid("MaximumRecordAgeInSeconds must be -1 or from 60 to 604800, not %d.", *age)
	}
	in.applyNumbers(w)
	if err := in.applyResponses(w); err != nil {
		return err
	}
	return in.applyDestination(w)
}

func (in mappingInput) applyNumbers(w *wanted) {
	s := &w.settings
	if in.BatchSize != nil {
		s.BatchSize = *in.BatchSize
	}
	if in.MaximumBatchingWindowInSeconds != nil {
		s.Window = time.Duration(*in.MaximumBatchingWindowInSeconds) * time.Second
	}
	if in.ParallelizationFactor != nil {
		s.Lanes = *in.ParallelizationFactor
	}
	if in.MaximumRetryAttempts != nil {
		s.Retries = *in.MaximumRetryAttempts
	}
	if in.MaximumRecordAgeInSeconds != nil {
		s.MaxAge = time.Duration(max(0, *in.MaximumRecordAgeInSeconds)) * time.Second
	}
	if in.BisectBatchOnFunctionError != nil {
		s.Bisect = *in.BisectBatchOnFunctionError
	}
	if in.Enabled != nil {
		w.enabled = *in.Enabled
	}
	w.modified = time.Now()
}

func (in mappingInput) applyResponses(w *wanted) error {
	if in.FunctionResponseTypes == nil {
		return nil
	}
	for _, kind := range *in.FunctionResponseTypes {
		if kind != reportBatchItemFailures {
			return violates("1 validation error detected: Value '[%s]' at 'functionResponseTypes' failed to satisfy constraint: "+
				"Member must satisfy constraint: [Member must satisfy enum value set: [ReportBatchItemFailures]]", kind)
		}
	}
	w.settings.ReportFailures = slices.Contains(*in.FunctionResponseTypes, reportBatchItemFailures)
	return nil
}

const reportBatchItemFailures = "ReportBatchItemFailures"

func (in mappingInput) applyDestination(w *wanted) error {
	d := in.DestinationConfig
	if d == nil {
		return nil
	}
	if d.OnSuccess != nil && d.OnSuccess.Destination != "" {
		return invalid("OnSuccess destinations are not supported for stream event sources.")
	}
	arn := ""
	if d.OnFailure != nil {
		arn = d.OnFailure.Destination
	}
	if parts := strings.Split(arn, ":"); arn != "" && (len(parts) != 6 || parts[2] != "sqs") {
		return notImplemented("on-failure destinations other than an SQS queue, such as %s", arn)
	}
	w.onFailure = arn
	return nil
}

// trivialFilter recognises the ways of asking for no filter.
func trivialFilter(raw json.RawMessage) bool {
	var shape struct{ Filters []json.RawMessage }
	return json.Unmarshal(raw, &shape) == nil && len(shape.Filters) == 0
}

func toSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
