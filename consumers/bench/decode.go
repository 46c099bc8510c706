package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/infra/figures"
)

// envelope is what a program declares that reads events without Banyan.
type envelope struct {
	SpecVersion, ID, Source, Type, Subject, PartitionKey, Sequence string
	TraceParent, CorrelationID, CausationID, DataContentType       string
	Time                                                           time.Time
	DataVersion                                                    int
	Data                                                           json.RawMessage
}

// plainly reads records with encoding/json alone.
func plainly(records [][]byte) error {
	for _, record := range records {
		var e envelope
		if err := json.Unmarshal(record, &e); err != nil {
			return err
		}
		if err := unmarshal(e.Type, e.Data); err != nil {
			return err
		}
	}
	return nil
}

func unmarshal(of string, data []byte) error {
	switch of {
	case "user.joined":
		return json.Unmarshal(data, new(social.UserJoined))
	case "user.profile-updated":
		return json.Unmarshal(data, new(social.UserProfileUpdated))
	case "post.published":
		return json.Unmarshal(data, new(social.PostPublished))
	}
	return fmt.Errorf("unexpected type %q", of)
}

// decoded reads records as the runtime does.
func decoded(records [][]byte) error {
	for _, record := range records {
		e, err := events.Decode(record)
		if err != nil {
			return err
		}
		p, err := social.Registry().Decode(e)
		if err != nil {
			return err
		}
		if err := route(p); err != nil {
			return err
		}
	}
	return nil
}

func route(p events.Payload) error {
	switch p.(type) {
	case social.UserJoined, social.UserProfileUpdated, social.PostPublished:
		return nil
	}
	return fmt.Errorf("unexpected %T", p)
}

// records are events as they are on a stream, of three types in turns.
func records(n int) (all [][]byte, err error) {
	now := time.Now().UTC()
	payloads := func(user string) []events.Payload {
		return []events.Payload{
			social.UserJoined{UserID: user, Name: "Ada Lovelace", JoinedAt: now},
			social.UserProfileUpdated{UserID: user, Name: "Ada Lovelace", Bio: "writes programs for an engine that there is not", Version: 2},
			social.PostPublished{PostID: "0158864a-9a00-7000-8000-000000000001", AuthorID: user, PublishedAt: now,
				Text: "We might even invent laws for series or formulæ in an arbitrary manner, and set the engine to work upon them."},
		}
	}
	for i := range n {
		e, err := events.New(context.Background(), "/services/users", payloads(fmt.Sprintf("%024x", i))[i%3])
		if err != nil {
			return nil, err
		}
		record, err := events.Encode(e)
		if err != nil {
			return nil, err
		}
		all = append(all, record)
	}
	return all, nil
}

// batchSize is Lambda's default for Kinesis.
const batchSize = 100

// decode measures records in rounds.
func (b *bench) decode(ctx context.Context) error {
	all, err := records(b.Records)
	if err != nil {
		return err
	}
	handled := func(records [][]byte) error { return handleInBatches(ctx, records) }
	var us, ratio, runtime, runtimeRatio []float64
	for n := range b.Rounds + 1 {
		var cpu [3]float64
		for i, read := range []func([][]byte) error{plainly, decoded, handled} {
			before := figures.Now()
			if err := read(all); err != nil {
				return err
			}
			cpu[i] = figures.Since(before).CPU / float64(len(all)) * 1e6
		}
		if n == 0 { // which warms up
			continue
		}
		us, ratio = append(us, cpu[1]), append(ratio, cpu[1]/cpu[0])
		runtime, runtimeRatio = append(runtime, cpu[2]), append(runtimeRatio, cpu[2]/cpu[0])
	}
	b.report.Write(figures.Median(caseDecode, "cpu_us_per_record", us))
	b.report.Write(figures.Median(caseDecode, "cpu_ratio_to_encoding_json", ratio).Within(figures.AtMost, 0.5))
	b.report.Write(figures.Median(caseDecode+"-runtime", "cpu_us_per_record", runtime))
	b.report.Write(figures.Median(caseDecode+"-runtime", "cpu_ratio_to_encoding_json", runtimeRatio))
	return nil
}

func handleInBatches(ctx context.Context, records [][]byte) error {
	c, err := newConsumer()
	if err != nil {
		return err
	}
	for len(records) > 0 {
		batch := records[:min(batchSize, len(records))]
		records = records[len(batch):]
		var e awsevents.KinesisEvent
		for i, data := range batch {
			e.Records = append(e.Records, kinesisRecord(i, data))
		}
		r, err := c.HandleKinesis(ctx, e)
		if err != nil || len(r.BatchItemFailures) > 0 {
			return fmt.Errorf("a batch was not handled: %w, %v", err, r)
		}
	}
	return nil
}

// newConsumer has a handler that does nothing.
func newConsumer() (*consumers.Consumer, error) {
	return consumers.New(consumers.Config{
		Name: "bench", Registry: social.Registry(), Policy: consumers.Halt,
		Handler: func(_ context.Context, m consumers.Message) error { return route(m.Payload) },
	})
}

func kinesisRecord(i int, data []byte) awsevents.KinesisEventRecord {
	r := awsevents.KinesisEventRecord{EventID: fmt.Sprintf("shardId-000000000000:%056d", i), EventSource: "aws:kinesis",
		EventSourceArn: "arn:aws:kinesis:us-east-1:000000000000:stream/bench"}
	r.Kinesis.SequenceNumber, r.Kinesis.PartitionKey, r.Kinesis.Data = fmt.Sprintf("%056d", i), "a", data
	r.Kinesis.ApproximateArrivalTimestamp.Time = time.Now()
	return r
}
