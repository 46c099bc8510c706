package sqs

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	minMessageSize     = 1024
	defaultMessageSize = 256 << 10
	maxMessageSize     = 1 << 20
	maxDelay           = 900
	maxWait            = 20
	maxVisibility      = 43_200
	minRetention       = 60
	maxRetention       = 1_209_600
	maxReceives        = 1000
)

// settings are the attributes of a queue that can be set.
type settings struct {
	visibility, delay, wait, retention time.Duration
	maxSize                            int
	fifo, contentDeduplicated          bool
	redrive                            redrive
	redriveText                        string
}

// redrive is the redrive policy; without one, Target is "".
type redrive struct {
	Target          string
	MaxReceiveCount int
}

var defaults = settings{
	visibility: 30 * time.Second,
	retention:  4 * 24 * time.Hour,
	maxSize:    defaultMessageSize,
}

// number is an attribute that is a whole number within bounds.
type number struct {
	name     string
	min, max int
	set      func(*settings, int)
	get      func(settings) int
}

func secondsAttribute(name string, lowest, highest int, field func(*settings) *time.Duration) number {
	return number{name, lowest, highest,
		func(s *settings, n int) { *field(s) = time.Duration(n) * time.Second },
		func(s settings) int { return int(*field(&s) / time.Second) }}
}

var numbers = []number{
	secondsAttribute("VisibilityTimeout", 0, maxVisibility, func(s *settings) *time.Duration { return &s.visibility }),
	secondsAttribute("DelaySeconds", 0, maxDelay, func(s *settings) *time.Duration { return &s.delay }),
	secondsAttribute("ReceiveMessageWaitTimeSeconds", 0, maxWait, func(s *settings) *time.Duration { return &s.wait }),
	secondsAttribute("MessageRetentionPeriod", minRetention, maxRetention, func(s *settings) *time.Duration { return &s.retention }),
	{"MaximumMessageSize", minMessageSize, maxMessageSize,
		func(s *settings, n int) { s.maxSize = n },
		func(s settings) int { return s.maxSize }},
}

// apply sets attributes by name.
func (s *Server) apply(to settings, attributes map[string]string) (settings, error) {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		if err := s.applyOne(&to, name, attributes[name]); err != nil {
			return to, err
		}
	}
	return to, nil
}

func (s *Server) applyOne(to *settings, name, value string) (err error) {
	if i := slices.IndexFunc(numbers, func(n number) bool { return n.name == name }); i >= 0 {
		return numbers[i].parse(to, value)
	}
	switch name {
	case "RedrivePolicy":
		to.redriveText = value
		to.redrive, err = s.parseRedrive(value)
		return err
	case "FifoQueue":
		to.fifo, err = parseTruth(name, value)
		return err
	case "ContentBasedDeduplication":
		to.contentDeduplicated, err = parseTruth(name, value)
		return err
	case "Policy", "RedriveAllowPolicy", "DeduplicationScope", "FifoThroughputLimit",
		"KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds", "SqsManagedSseEnabled":
		if value == "false" {
			return nil
		}
		return errorWithCode("UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation", "not implemented by the sandbox: the queue attribute %s", name)
	}
	return errorWithCode("InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute %s.", name)
}

func parseTruth(name, value string) (bool, error) {
	if value != "true" && value != "false" {
		return false, errorWithCode("InvalidAttributeValue", "InvalidAttributeValue",
			"Invalid value for the parameter %s: %q is neither true nor false.", name, value)
	}
	return value == "true", nil
}

func (n number) parse(to *settings, value string) error {
	v, err := strconv.Atoi(value)
	if err != nil || v < n.min || v > n.max {
		return errorWithCode("InvalidAttributeValue", "InvalidAttributeValue",
			"Invalid value for the parameter %s: %q is not between %d and %d.", n.name, value, n.min, n.max)
	}
	n.set(to, v)
	return nil
}

func (s *Server) parseRedrive(text string) (redrive, error) {
	if text == "" {
		return redrive{}, nil
	}
	var policy struct {
		DeadLetterTargetArn string
		MaxReceiveCount     json.RawMessage
	}
	if err := json.Unmarshal([]byte(text), &policy); err != nil {
		return redrive{}, invalid("Value %s for parameter RedrivePolicy is invalid. Reason: Redrive policy is not a valid JSON map.", text)
	}
	count, err := strconv.Atoi(strings.Trim(string(policy.MaxReceiveCount), `"`))
	if err != nil || count < 1 || count > maxReceives {
		return redrive{}, invalid("Value %s for parameter RedrivePolicy is invalid. Reason: maxReceiveCount must be between 1 and %d.", text, maxReceives)
	}
	name := policy.DeadLetterTargetArn[strings.LastIndexByte(policy.DeadLetterTargetArn, ':')+1:]
	if _, err := s.queue(name); err != nil || s.arn(name) != policy.DeadLetterTargetArn {
		return redrive{}, invalid("Value %s for parameter RedrivePolicy is invalid. Reason: Dead letter target does not exist.", text)
	}
	return redrive{Target: name, MaxReceiveCount: count}, nil
}

// attributes lists all that GetQueueAttributes knows.
func (s *Server) attributes(q *queue) map[string]string {
	visible, inFlight, delayed := q.count(s.cfg.Now())
	out := map[string]string{
		"QueueArn":                              s.arn(q.name),
		"CreatedTimestamp":                      strconv.FormatInt(q.created.Unix(), 10),
		"LastModifiedTimestamp":                 strconv.FormatInt(q.created.Unix(), 10),
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(inFlight),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
		"SqsManagedSseEnabled":                  "false",
	}
	for _, n := range numbers {
		out[n.name] = strconv.Itoa(n.get(q.settings))
	}
	if q.fifo != nil {
		out["FifoQueue"], out["ContentBasedDeduplication"] = "true", strconv.FormatBool(q.settings.contentDeduplicated)
	}
	if q.settings.redriveText != "" {
		out["RedrivePolicy"] = q.settings.redriveText
	}
	return out
}

type getQueueAttributesInput struct {
	queueRef
	AttributeNames []string
}

type getQueueAttributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

func (s *Server) getQueueAttributes(_ context.Context, in *getQueueAttributesInput) (*getQueueAttributesOutput, error) {
	q, err := s.queue(in.name())
	if err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	all := s.attributes(q)
	if slices.Contains(in.AttributeNames, "All") {
		return &getQueueAttributesOutput{all}, nil
	}
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		if value, ok := all[name]; ok {
			out[name] = value
		}
	}
	return &getQueueAttributesOutput{out}, nil
}

func (q *queue) current() settings {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.settings
}
