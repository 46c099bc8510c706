// Package source adapts what invokes a Lambda function to a consumer's one type of handler:
//
//	function.Main(function.Spec{
//		Name:    "thumbnails",
//		Sources: []source.Source{source.S3(), source.SQS()},
//		Handler: ...,
//	})
//
// A function is invoked by the sources that it names, and refuses every other invocation
// with an error that says what it got and what it takes. What each source delivers as a
// [consumers.Message], how records are ordered, and what becomes of failures:
//
//	source       Raw                order          failures
//	kinesis      the event          partition key  lowest of the shard is reported
//	dynamodb     the change's JSON  item           lowest of the shard is reported
//	kafka        the value          key            all of the partition are reported
//	sqs          the body           none           each is reported
//	sqs, FIFO    the body           group          it and those behind it in its group
//	sns          the message        none           the invocation fails
//	eventbridge  the event's JSON   none           the invocation fails
//	s3           the record's JSON  object         the invocation fails
//	firehose     the data           none           the record is answered as ProcessingFailed
//	direct       the payload        none           the invocation fails
//
// Message.Record is the record as aws-lambda-go declares it. Message.Event is set where Raw is
// a CloudEvent, as package events demands it, and where it is an event of EventBridge:
// its type is the detail-type, and its data the detail. Where Raw claims to be a CloudEvent
// and is not one of package events, the record fails; with [Raw] it is passed as it is.
//
// A queue's message that SNS or EventBridge sent has the attributes of that, and as Raw what
// they were given.
//
// The ids of package correlation are taken from an event, from message attributes, headers of
// Kafka, the client context, or from the member __context__ of a payload or detail, by the
// names of the HTTP headers. DAZN's powertools for Lambda put theirs there by the same.
//
// # What the sources need
//
//   - Mappings of kinesis, dynamodb, sqs and kafka must have ReportBatchItemFailures. Without
//     it Lambda takes any answer for success, and what failed is lost. Kafka's have it in
//     provisioned mode only.
//   - Streams with tumbling windows are refused: a state that Lambda hands on has no place in
//     a read model that is guarded by position.
//   - A queue gives up messages by its own redrive policy (maxReceiveCount), with a
//     visibility timeout of at least six times the function's timeout.
//   - Lambda repeats a failed invocation of sns, eventbridge, s3 and direct twice, and then
//     sends it to the function's destination for failures, or loses it where there is none.
//   - Only kinesis and dynamodb have a Message.Position, by which once guards changes and dead
//     letters are kept. Handlers of other sources must be idempotent by themselves.
//
// Requests of API Gateway and of function URLs are not messages: package lambdahttp makes
// them requests of net/http.
//
// The shapes are those of the developer guide of Lambda ("Using Lambda with ..."); those of
// kinesis, dynamodb and sqs are tested against services that send them, the others
// against the examples of the guide.
package source
