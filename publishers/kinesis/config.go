package kinesis

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	awskinesis "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/publishers/kinesis/internal/putrecords"
)

// API is what a Publisher needs of the SDK's Kinesis client. The client itself is
// sent to in a way that costs less than half of its own; anything else that has
// these methods, such as a wrapper, gets plain inputs, of which it may not keep
// the data when it has returned.
type API interface {
	ListShards(context.Context, *awskinesis.ListShardsInput, ...func(*awskinesis.Options)) (*awskinesis.ListShardsOutput, error)
	PutRecords(context.Context, *awskinesis.PutRecordsInput, ...func(*awskinesis.Options)) (*awskinesis.PutRecordsOutput, error)
}

// The limits of the service, see
// https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html.
const (
	serviceRecordBytes    = 10 << 20 // where the stream was raised, 1 MiB otherwise
	serviceRequestBytes   = 10 << 20
	serviceRequestRecords = 500
)

// Config of a Publisher. Client and Stream are needed; the zero value of
// everything else is a sensible default.
type Config struct {
	// Client is usually a *kinesis.Client of the SDK.
	Client API
	// Stream is the name of the stream, which must exist.
	Stream string

	// Check reports whether an event keeps the promise of its type, such as
	// [events.Registry.Check]; Publish and Enqueue refuse one that does not. Events
	// that come encoded were checked by who encoded them. nil: only envelopes are checked.
	Check func(events.Event) error

	// Linger is how long the oldest event of a shard waits for more to share its request. 0 means
	// 5 ms, negative not at all.
	Linger time.Duration
	// NoAggregation sends each event as a record of its own. Since a request
	// never has two records of one partition key, a single busy key is then
	// limited to one event a round trip.
	NoAggregation bool
	// AggregateBytes is the size that aggregates aim at. 0 means 64 KiB, at most
	// MaxRecordBytes. A consumer retries whole aggregates, so larger ones
	// cost less to send and more to repeat.
	AggregateBytes int

	// MaxPending is how many events may be enqueued and not yet in the stream.
	// 0 means 10,000. Where the stream has several shards, one of them may have
	// as many as are left free, at most: half of them when the others have none.
	// So a shard that accepts nothing leaves capacity to the others.
	MaxPending int
	// MaxPendingBytes is the same in bytes of encoded events. 0 means 64 MiB, at
	// least MaxRecordBytes.
	MaxPendingBytes int
	// RefuseWhenFull makes Publish and Enqueue fail with ErrFull at those limits
	// instead of waiting. Where one goroutine publishes events of many keys, set it:
	// otherwise one shard that accepts nothing holds up all of them.
	RefuseWhenFull bool

	// RetryRefused sends a request again, with a growing pause, when Kinesis refuses all
	// of it: for missing rights, a wrong credential, a stream or a KMS key that does not
	// exist. Its events wait, in order, until the cause is corrected;
	// ShardStats.Failing says what is wrong, and Counts.Refused counts. Without it such
	// events fail at once and their successors are sent without them: right for a caller
	// that gets the error and decides, wrong for a relay that publishes all of it again,
	// since a successor may then be on the stream first.
	//
	// A request that is refused for one of its events (a stream whose limit is below
	// MaxRecordBytes) is sent again too, and holds its shard up until the limit is
	// raised there or lowered here.
	RetryRefused bool

	// MaxRecordBytes is the stream's limit of a record with its key. 0 means
	// 1 MiB, which is what a stream has unless UpdateMaxRecordSize raised it.
	MaxRecordBytes int
	// MaxRequestBytes bounds a PutRecords. 0 means 1 MiB or MaxRecordBytes,
	// whichever is more: a request carries one shard, and the limit of a shard is 1 MiB a
	// second.
	MaxRequestBytes int
	// MaxRequestRecords bounds a PutRecords. 0 means 500, the most there can be.
	MaxRequestRecords int

	// AttemptTimeout bounds one request. 0 means 5 s.
	AttemptTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause of a shard after a failure, which
	// doubles with each and is then cut by up to a half at random. 0 means 25 ms
	// and 2 s.
	BackoffMin, BackoffMax time.Duration
	// RateIncrease is by which part of itself the rate of a shard grows each
	// second after a throttle made it smaller. 0 means 0.1; a rate that led to no
	// throttle for a minute is given up. Negative switches rate limits
	// off. See ShardStats.Rate.
	RateIncrease float64

	// Protocol is how requests are written. The zero value is JSON.
	Protocol Protocol

	// Random gives numbers from 0 up to 1 for the back-off; nil means
	// math/rand/v2. It is called from several goroutines.
	Random func() float64
}

// Protocol is the encoding of requests.
type Protocol = putrecords.Encoding

const (
	// JSON is what the service documents.
	JSON Protocol = putrecords.JSON
	// CBOR is what Amazon's SDK for Java uses: a quarter fewer bytes and less CPU.
	// Where a server does not know it, JSON is used from then on.
	CBOR Protocol = putrecords.CBOR
)

// Validate returns an error that says what is wrong with c, nil if nothing.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(c.Client != nil, "Client is missing: give kinesis.NewFromConfig of the SDK")
	check(c.Stream != "", "Stream is missing: give the name of a stream")
	check(c.MaxPending > 0, "MaxPending %d is negative", c.MaxPending)
	check(inRange(c.MaxRecordBytes, 1024, serviceRecordBytes),
		"MaxRecordBytes %d is not between 1 KiB and 10 MiB", c.MaxRecordBytes)
	check(c.MaxPendingBytes >= c.MaxRecordBytes,
		"MaxPendingBytes %d is less than MaxRecordBytes %d, so a large event could never be enqueued", c.MaxPendingBytes, c.MaxRecordBytes)
	check(inRange(c.AggregateBytes, 1, c.MaxRecordBytes),
		"AggregateBytes %d is not between 1 and MaxRecordBytes %d", c.AggregateBytes, c.MaxRecordBytes)
	check(inRange(c.MaxRequestBytes, c.MaxRecordBytes, serviceRequestBytes),
		"MaxRequestBytes %d is not between MaxRecordBytes %d and 10 MiB", c.MaxRequestBytes, c.MaxRecordBytes)
	check(inRange(c.MaxRequestRecords, 1, serviceRequestRecords),
		"MaxRequestRecords %d is not between 1 and %d", c.MaxRequestRecords, serviceRequestRecords)
	check(c.AttemptTimeout > 0, "AttemptTimeout %v is negative", c.AttemptTimeout)
	check(c.BackoffMin > 0 && c.BackoffMin <= c.BackoffMax,
		"BackoffMin %v and BackoffMax %v are not positive and in order", c.BackoffMin, c.BackoffMax)
	check(c.Protocol == JSON || c.Protocol == CBOR, "Protocol %d is neither JSON nor CBOR", c.Protocol)
	if len(errs) > 0 {
		return fmt.Errorf("publishers/kinesis: config: %w", errors.Join(errs...))
	}
	return nil
}

func inRange(n, least, most int) bool { return n >= least && n <= most }

func (c Config) withDefaults() Config {
	c.Linger = cmp.Or(c.Linger, 5*time.Millisecond)
	c.MaxPending = cmp.Or(c.MaxPending, 10_000)
	c.MaxRecordBytes = cmp.Or(c.MaxRecordBytes, 1<<20)
	c.MaxPendingBytes = cmp.Or(c.MaxPendingBytes, max(64<<20, c.MaxRecordBytes))
	c.AggregateBytes = cmp.Or(c.AggregateBytes, min(64<<10, c.MaxRecordBytes))
	c.MaxRequestBytes = cmp.Or(c.MaxRequestBytes, max(1<<20, c.MaxRecordBytes))
	c.MaxRequestRecords = cmp.Or(c.MaxRequestRecords, serviceRequestRecords)
	c.RateIncrease = cmp.Or(c.RateIncrease, 0.1)
	c.AttemptTimeout = cmp.Or(c.AttemptTimeout, 5*time.Second)
	c.BackoffMin = cmp.Or(c.BackoffMin, 25*time.Millisecond)
	c.BackoffMax = cmp.Or(c.BackoffMax, max(2*time.Second, c.BackoffMin))
	return c
}

// retryDelays are the pauses between attempts.
func (c *Config) retryDelays() backoff.Backoff {
	return backoff.Backoff{Min: c.BackoffMin, Max: c.BackoffMax, Random: c.Random}
}

// largestEvent is how many bytes an event with that key may have.
func (c *Config) largestEvent(partitionKey string) int {
	return min(c.MaxRecordBytes-len(partitionKey), events.MaxSize)
}
