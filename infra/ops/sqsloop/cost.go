package sqsloop

import "time"

// The published prices in us-east-1 in dollars, as of November 2026: AWS Lambda
// on arm64 in the first tier, Amazon SQS standard queues beyond the free million,
// DynamoDB on demand.
// https://aws.amazon.com/lambda/pricing/ https://aws.amazon.com/sqs/pricing/
// https://aws.amazon.com/dynamodb/pricing/on-demand/
const (
	priceGBSecond = 0.0000133334
	priceRequest  = 0.20 / 1e6
	priceSQS      = 0.40 / 1e6
	priceWrite    = 0.625 / 1e6
)

// monthSeconds is a month of 730 hours.
const monthSeconds = 730 * 3600

// mappingPollers is how many pollers a mapping has while little happens
// ("Configuring scaling behavior for SQS event source mappings"; it may go down
// to 2).
const mappingPollers = 5

// Load is what a queue brings in a month, and how it is handled.
type Load struct {
	// Messages a month, in batches of Batch.
	Messages, Batch float64
	// Handling is how long a function takes for a batch.
	Handling time.Duration
	// MemoryGB of the functions, 0.125 for 128 MB.
	MemoryGB float64
	// Loops that run all of the time.
	Loops float64
}

// Loop is what l costs in dollars a month by loops with the defaults of [Queue]
// and [Loop], the handler being a function of its own. Storage, logs and the
// scaling functions, cents a month, are left out.
func (l Load) Loop() float64 {
	var q Queue
	q = q.withDefaults()
	polls := (DefaultRecurseAfter + q.Wait - 1) / q.Wait // of an idle turn
	turn := float64(polls) * q.Wait.Seconds()
	second := l.MemoryGB*priceGBSecond + (priceRequest+priceWrite)/turn + priceWrite/q.heartbeat().Seconds() + priceSQS/q.Wait.Seconds()
	return l.Loops*monthSeconds*second + l.messages()
}

// Mapping is what l costs by an event source mapping.
func (l Load) Mapping() float64 {
	return monthSeconds*mappingPollers*priceSQS/DefaultWait.Seconds() + l.messages()
}

func (l Load) messages() float64 {
	return l.Messages / l.Batch * (2*priceSQS + priceRequest + l.Handling.Seconds()*l.MemoryGB*priceGBSecond)
}
