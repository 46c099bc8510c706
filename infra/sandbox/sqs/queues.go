package sqs

import (
	"context"
	"regexp"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

const maxName = 80

var queueName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,80}$`)

type createQueueInput struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

// Resource implements awsjson.Resourceful.
func (in createQueueInput) Resource() string { return in.QueueName }

type queueURLOutput struct{ QueueUrl string }

func (s *Server) createQueue(_ context.Context, in *createQueueInput) (*queueURLOutput, error) {
	switch {
	case len(in.QueueName) > maxName || !queueName.MatchString(strings.TrimSuffix(in.QueueName, fifoSuffix)):
		return nil, invalid("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	case len(in.Tags) > 0:
		return nil, awsjson.NotImplemented("tags of queues")
	}
	wanted, err := s.apply(defaults, in.Attributes)
	if err != nil {
		return nil, err
	}
	if wanted.fifo != isFIFO(in.QueueName) || wanted.contentDeduplicated && !wanted.fifo {
		return nil, invalid("The name of a FIFO queue, and of no other, ends with %s; it needs the attribute FifoQueue, and no other has ContentBasedDeduplication.",
			fifoSuffix)
	}
	if err := s.addQueue(in, wanted); err != nil {
		return nil, err
	}
	return &queueURLOutput{s.url(in.QueueName)}, nil
}

// addQueue is idempotent for a queue that has the attributes asked for.
func (s *Server) addQueue(in *createQueueInput, wanted settings) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.queues[in.QueueName]
	if old == nil {
		s.queues[in.QueueName] = newQueue(in.QueueName, s.cfg.Now(), wanted, s.cfg.MaxQueueBytes)
		return nil
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	has := s.attributes(old)
	for name, value := range in.Attributes {
		if has[name] != value {
			return errorWithCode("QueueNameExists", "QueueAlreadyExists", "A queue already exists with the same name and a different value for attribute %s", name)
		}
	}
	return nil
}

type getQueueURLInput struct {
	QueueName              string
	QueueOwnerAWSAccountId string
}

// Resource implements awsjson.Resourceful.
func (in getQueueURLInput) Resource() string { return in.QueueName }

func (s *Server) getQueueURL(_ context.Context, in *getQueueURLInput) (*queueURLOutput, error) {
	q, err := s.queue(in.QueueName)
	if err != nil {
		return nil, err
	}
	return &queueURLOutput{s.url(q.name)}, nil
}
