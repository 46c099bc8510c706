package lambda

import (
	"slices"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/filter"
	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/sources"
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
	FilterCriteria                 *filterCriteria
	FunctionName                   string
	FunctionResponseTypes          *[]string
	MaximumBatchingWindowInSeconds *int
	MaximumRecordAgeInSeconds      *int
	MaximumRetryAttempts           *int
	ParallelizationFactor          *int
	ScalingConfig                  *scalingConfig
	StartingPosition               string
	Tags                           map[string]string
	TumblingWindowInSeconds        *int
}

type filterCriteria struct {
	Filters []filterPattern `json:",omitempty"`
}

type filterPattern struct{ Pattern string }

type scalingConfig struct {
	MaximumConcurrency *int `json:",omitempty"`
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
	*streamOutput                  // nil for a queue
	BatchSize                      int
	EventSourceArn                 string
	EventSourceMappingArn          string
	FilterCriteria                 *filterCriteria `json:",omitempty"`
	FunctionArn                    string
	FunctionResponseTypes          []string `json:",omitempty"`
	LastModified                   float64
	LastProcessingResult           string
	MaximumBatchingWindowInSeconds int
	ScalingConfig                  *scalingConfig `json:",omitempty"`
	State                          string
	StateTransitionReason          string
	UUID                           string
}

// streamOutput is what only mappings of streams have.
type streamOutput struct {
	BisectBatchOnFunctionError bool
	DestinationConfig          destinationConfig
	MaximumRecordAgeInSeconds  int
	MaximumRetryAttempts       int
	ParallelizationFactor      int
	StartingPosition           string
	TumblingWindowInSeconds    int
}

// wanted is what a mapping is to be.
type wanted struct {
	ref       reference
	settings  streams.Settings
	filters   *filterCriteria
	scaling   *scalingConfig
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
	if kind(in.EventSourceArn) == filter.SQS {
		w.settings = streams.Settings{BatchSize: defaultQueueBatch, Pollers: queuePollers}
		if err := in.checkQueue(); err != nil {
			return w, err
		}
		return w, in.apply(&w)
	}
	if in.ScalingConfig != nil {
		return wanted{}, invalid("ScalingConfig is only supported for SQS event sources.")
	}
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
	case parts[2] == "sqs" && len(parts) == 6:
		return nil
	}
	return notImplemented("event source mappings for %s: only Kinesis and DynamoDB streams and SQS queues", in.EventSourceArn)
}

// kind is what a mapping of this ARN, which was checked, reads.
func kind(arn string) filter.Source { return filter.Source(strings.Split(arn, ":")[2]) }

// checkQueue refuses what does not go with a queue ("Lambda parameters for Amazon
// SQS event source mappings", and API reference, CreateEventSourceMapping).
func (in mappingInput) checkQueue() error {
	for name, given := range map[string]bool{
		"StartingPosition": in.StartingPosition != "", "BisectBatchOnFunctionError": in.BisectBatchOnFunctionError != nil,
		"DestinationConfig": in.DestinationConfig != nil, "ParallelizationFactor": in.ParallelizationFactor != nil,
		"MaximumRetryAttempts": in.MaximumRetryAttempts != nil, "MaximumRecordAgeInSeconds": in.MaximumRecordAgeInSeconds != nil,
	} {
		if given {
			return invalid("Unsupported parameter for an SQS event source: %s", name)
		}
	}
	size, window := defaultQueueBatch, 0
	if in.BatchSize != nil {
		size = *in.BatchSize
	}
	if in.MaximumBatchingWindowInSeconds != nil {
		window = *in.MaximumBatchingWindowInSeconds
	}
	switch fifo := sources.IsFIFO(in.EventSourceArn); {
	case fifo && size > defaultQueueBatch:
		return outside("batchSize", size, 1, defaultQueueBatch)
	case fifo && window != 0:
		return invalid("Batching window is not supported for FIFO queues")
	case size > defaultQueueBatch && window == 0:
		return invalid("Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than %d", defaultQueueBatch)
	}
	return nil
}

// apply makes the changes a request asks for, within the documented bounds.
func (in mappingInput) apply(w *wanted) error {
	if in.TumblingWindowInSeconds != nil && *in.TumblingWindowInSeconds != 0 {
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
	if err := in.applyFilter(w); err != nil {
		return err
	}
	if err := in.applyScaling(w); err != nil {
		return err
	}
	if err := in.applyResponses(w); err != nil {
		return err
	}
	return in.applyDestination(w)
}

func (in mappingInput) applyFilter(w *wanted) (err error) {
	if in.FilterCriteria == nil || len(in.FilterCriteria.Filters) == 0 {
		return nil
	}
	w.filters = in.FilterCriteria
	texts := make([]string, len(w.filters.Filters))
	for i, f := range w.filters.Filters {
		texts[i] = f.Pattern
	}
	if w.settings.Filter, err = filter.Parse(kind(in.EventSourceArn), texts); err != nil {
		return invalid("%v", err)
	}
	return nil
}

// applyScaling bounds the batches at a time. Lambda begins with five, and the
// sandbox stays there.
func (in mappingInput) applyScaling(w *wanted) error {
	if in.ScalingConfig == nil || in.ScalingConfig.MaximumConcurrency == nil {
		return nil
	}
	most := *in.ScalingConfig.MaximumConcurrency
	if most < 2 || most > 1000 {
		return outside("scalingConfig.maximumConcurrency", most, 2, 1000)
	}
	w.scaling, w.settings.Pollers = in.ScalingConfig, min(most, queuePollers)
	return nil
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
	var err error
	w.onFailure, err = d.failureQueue()
	return err
}

// failureQueue is the queue that is told of failures, or "".
func (d *destinationConfig) failureQueue() (arn string, err error) {
	if d == nil || d.OnFailure == nil || d.OnFailure.Destination == "" {
		return "", nil
	}
	arn = d.OnFailure.Destination
	if parts := strings.Split(arn, ":"); len(parts) != 6 || parts[2] != "sqs" {
		return "", notImplemented("on-failure destinations other than an SQS queue, such as %s", arn)
	}
	return arn, nil
}

func toSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
