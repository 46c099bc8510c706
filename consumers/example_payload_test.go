package consumers_test

import (
	"context"
	"fmt"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

func greet(_ context.Context, m consumers.Message) error {
	switch p := m.Payload.(type) {
	case social.UserJoined:
		fmt.Println("welcome,", p.Name)
	case nil:
		fmt.Println("somebody else's event:", m.Event.Type)
	}
	return nil
}

// printedLetters stands for a table of dead letters.
type printedLetters struct{}

func (printedLetters) Put(_ context.Context, d consumers.DeadLetter) error {
	fmt.Println("dead letter:", d.Reason)
	return nil
}

// A handler is a type switch; an event that does not fit its type never reaches it.
func ExampleConfig_registry() {
	ctx := context.Background()
	consumer, err := consumers.New(consumers.Config{
		Name: "greeter", Handler: greet, Registry: social.Registry(), DeadLetters: printedLetters{}, Concurrency: 1,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	e, err := events.New(ctx, "/monolith", social.UserJoined{UserID: "ada", Name: "Ada"})
	if err != nil {
		fmt.Println(err)
		return
	}
	e.ID = "e-1"
	foreign, broken := e, e
	foreign.Type, broken.PartitionKey = "order.placed", "bob"
	var batch awsevents.KinesisEvent
	for i, e := range []events.Event{e, foreign, broken} {
		data, err := events.Encode(e)
		if err != nil {
			fmt.Println(err)
			return
		}
		record := awsevents.KinesisEventRecord{EventID: fmt.Sprint("shardId-000000000000:", i+1)}
		record.Kinesis.SequenceNumber, record.Kinesis.Data = fmt.Sprint(i+1), data
		batch.Records = append(batch.Records, record)
	}
	answer, err := consumer.HandleKinesis(ctx, batch)
	fmt.Println(len(answer.BatchItemFailures), "to be delivered again,", err)
	// Output:
	// welcome, Ada
	// somebody else's event: order.placed
	// dead letter: events: payload of event e-1: malformed event: partitionkey: the envelope has "bob", and user.joined version 1 names "ada" (the user's id)
	// 0 to be delivered again, <nil>
}
