package timeline_test

import (
	"fmt"
	"testing"
	"time"

	awsevents "github.com/aws/aws-lambda-go/events"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/internal/streamtest"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
)

// BenchmarkApply applies batches of 100 events of 1,000 users to the sandbox:
// half of them posts, for authors with about ten followers, half follows.
func BenchmarkApply(b *testing.B) {
	db := streamtest.NewDynamoDB(b)
	faults := streamtest.NewFaults(0, 0)
	m, err := timeline.New(timeline.Config{Client: db.Client(faults), Table: db.CreateTable(timeline.TableInput)})
	if err != nil {
		b.Fatal(err)
	}
	c, err := consumers.New(consumers.Config{Name: "timeline", Handler: m.Handle, Policy: consumers.Halt})
	if err != nil {
		b.Fatal(err)
	}
	const batch = 100
	n := 0
	next := func() awsevents.KinesisEvent {
		var e awsevents.KinesisEvent
		for range batch {
			n++
			user := fmt.Sprintf("user%03d", n*7919%1000)
			p := events.Payload(post(user, n))
			if n%2 == 0 || n < 10_000 {
				p = followed(user, fmt.Sprintf("user%03d", n*104729%1000))
			}
			e.Records = append(e.Records, streamtest.Record(n, user, streamtest.Data(b, streamtest.Event(b, p))))
		}
		return e
	}
	for range 100 { // everyone has about ten followers
		apply(b, c, next())
	}
	sent := faults.Sent()
	var spent time.Duration
	b.ResetTimer()
	for range b.N {
		e := next()
		started := time.Now()
		apply(b, c, e)
		spent += time.Since(started)
	}
	b.ReportMetric(float64(b.N*batch)/spent.Seconds(), "events/s")
	b.ReportMetric(float64(faults.Sent()-sent)/float64(b.N*batch), "requests/event")
}

func apply(b *testing.B, c *consumers.Consumer, e awsevents.KinesisEvent) {
	b.Helper()
	out, err := c.HandleKinesis(b.Context(), e)
	if err != nil || len(out.BatchItemFailures) > 0 {
		b.Fatal(out, err)
	}
}
