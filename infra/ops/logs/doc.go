// Package logs is how the logs of an account come to OpenSearch, or anything with its
// _bulk API: functions write to their standard error and CloudWatch Logs
// keeps that; a subscription of each log group brings it to a Kinesis stream;
// one function, log-shipper, puts it from there into indexes. No business
// function ships anything itself, so none waits for, or fails by, its logs.
//
// Package subscribe is log-subscriber, package ship is log-shipper. This page has
// what concerns both.
//
// Caveats first.
//
//   - What a group got before it was subscribed is not shipped; it stays in
//     CloudWatch Logs. A new group is subscribed when CloudTrail tells of it, as
//     a rule within minutes, and by the back-fill at the latest.
//   - Lines are shipped as they are: nothing here knows a password or a token from
//     other text, and what a function logs of them is in the indexes, and in the
//     dead letters, too. A data protection policy of the log group masks them before
//     they get here; not to log them is better.
//   - A retention makes CloudWatch delete what is older. It is set only where a
//     group would keep everything for ever. Name those that shall in
//     LOG_RETENTION_EXCLUDE before the first run.
//   - Loops that no name betrays must be named: the group of VPC flow logs of
//     the network that log-shipper is in, and that of a CloudTrail trail with data
//     events of the log stream, belong into LOG_EXCLUDE. Each shipment would
//     create more of them.
//   - Elasticsearch and OpenSearch have no order of their own. Documents carry
//     @timestamp and log.offset: sorted by these, a log stream reads as it was
//     written. See package ship for what is kept while it is written.
//   - Ids keep redelivery from doubling within one index. Indexes are therefore
//     daily by the event's own time, and never a data stream, which would forget
//     the ids at its rollover.
//   - An account-level subscription policy (PutAccountPolicy) also subscribes
//     every group, without any function. It allows one of its kind a region,
//     leaves out groups by exact name only, and sets no retention. Where that is
//     enough, take it instead of log-subscriber, and name log-shipper's group in
//     it.
//
// # What can be known about loss
//
// Counted exactly, per delivery: LogEvents = LogCreated + LogDoubled + LogRefused
// + LogDropped + LogPending. Refused are in the dead letter queue, Dropped are
// those of the shipper's own group (a loop somebody made), Pending come again.
// LogUndecodable counts Kinesis records that were no log records; they are dead
// letters too. Over a kill in the middle LogCreated may be too small and
// LogDoubled too great by what was created before it; their sum holds.
//
// Seen, but not all of it: LogGaps counts places where a log stream of Lambda has
// a REPORT without its START, or a START while the invocation before has no REPORT.
// Only holes inside one batch are seen, and only those that took such a line; it
// assumes that a function's environment has one invocation at a time.
//
// Not seen here: what CloudWatch Logs could not deliver to Kinesis for 24 hours
// (alarm on AWS/Logs DeliveryErrors and DeliveryThrottling), what was older than
// the stream's retention before it was read (alarm on IteratorAge of log-shipper
// at half of that), and what a function printed and Lambda did not take.
// AWS/Logs ForwardedLogEvents of a group, against LogEvents, is the way to
// compare over a day.
//
// # Wiring
//
// A Kinesis stream for logs alone (retention 24 h or more), and an SQS queue for
// dead letters (retention 14 days, encrypted). A role for CloudWatch Logs:
//
//	trust: logs.amazonaws.com, with aws:SourceArn like arn:aws:logs:REGION:ACCOUNT:*
//	kinesis:PutRecord    the stream
//	kinesis:PutRecords   the stream
//
// # Function log-subscriber
//
// infra/ops/logs/cmd/log-subscriber, 256 MB, timeout 900 s, reserved concurrency
// 2. Triggers: an EventBridge rule for new groups,
//
//	{"source":["aws.logs"],"detail-type":["AWS API Call via CloudTrail"],
//	 "detail":{"eventSource":["logs.amazonaws.com"],"eventName":["CreateLogGroup"]}}
//
// and a schedule such as rate(1 hour) for the back-fill, with any other input.
// EventInvokeConfig: MaximumRetryAttempts 2 (its pauses of a minute suit a
// throttle; the back-fill itself never fails), MaximumEventAgeInSeconds 3600.
// Alarm on the metric Failures, on LogGroupsFull, and on Errors of the function.
//
//	LOG_STREAM_ARN          ARN of the Kinesis stream, required
//	LOG_ROLE_ARN            ARN of the role for CloudWatch Logs, required
//	LOG_FILTER_NAME         name of our filter, default banyan-log-shipper
//	LOG_INCLUDE             groups to subscribe, comma-separated, * matches anything; default *
//	LOG_EXCLUDE             groups to leave alone, wins over LOG_INCLUDE
//	LOG_SHIPPER_FUNCTIONS   functions never to subscribe, besides those that read the stream; default log-shipper
//	LOG_RETENTION_DAYS      retention where there is none, default 30; 0 leaves all as it is
//	LOG_RETENTION_EXCLUDE   groups that keep everything for ever
//	LOG_RETENTION_GRACE     age below which a group's retention is left to whoever made it, default 1h
//	LOG_RATE                requests a second, default 3
//	LOG_DRY_RUN             true: change nothing, report what would be
//	LOG_LEVEL               debug, info (default), warn or error
//
// IAM, besides the function's own log group:
//
//	logs:DescribeLogGroups             arn:aws:logs:REGION:ACCOUNT:log-group:*
//	logs:DescribeSubscriptionFilters   arn:aws:logs:REGION:ACCOUNT:log-group:*
//	logs:PutSubscriptionFilter         arn:aws:logs:REGION:ACCOUNT:log-group:*
//	logs:PutRetentionPolicy            arn:aws:logs:REGION:ACCOUNT:log-group:*
//	lambda:ListEventSourceMappings     *  (has no resources)
//	lambda:GetFunctionConfiguration    arn:aws:lambda:REGION:ACCOUNT:function:*
//	iam:PassRole                       the role for CloudWatch Logs, with iam:PassedToService = logs.amazonaws.com
//	DENY logs:PutSubscriptionFilter    arn:aws:logs:REGION:ACCOUNT:log-group:/aws/lambda/log-shipper:*
//
// The last is the second fence against a loop; the first is in the code.
//
// # Function log-shipper
//
// infra/ops/logs/cmd/log-shipper, 512 MB, timeout 120 s, its own log group with
// retention 7 days, no dead letter of its own. Event source mapping on the stream:
// starting position TRIM_HORIZON, batch size 100, window 5 s, parallelization 1
// to 10 (order holds for a log stream), FunctionResponseTypes
// ReportBatchItemFailures, MaximumRetryAttempts -1, MaximumRecordAgeInSeconds -1,
// BisectBatchOnFunctionError true, on-failure destination a second SQS queue.
// Alarm on IteratorAge, on the metrics LogRefused, LogUndecodable, LogGaps and
// LogDropped, and on the age of the dead letters.
//
//	OPENSEARCH_URL           https://... of the domain, required
//	OPENSEARCH_AUTH          iam (default), basic or none
//	OPENSEARCH_USER          for basic: itself or a reference as of package config
//	OPENSEARCH_PASSWORD      for basic: a reference such as secret:banyan/prod/opensearch#password
//	OPENSEARCH_TEMPLATE      true (default): put the index template at a cold start, which
//	                         needs OpenSearch 2.7 or later; false for Elasticsearch, or a
//	                         template of your own
//	LOG_INDEX                prefix of the indexes, default logs
//	LOG_DEAD_LETTER_URL      URL of the queue for dead letters, required
//	LOG_BULK_BYTES           bound of a _bulk request, default 5242880
//	LOG_BULK_DOCUMENTS       bound of a _bulk request, default 1000
//	LOG_MAX_FIELDS           fields of a structured line that are kept as fields, default 64
//	LOG_MAX_DEPTH            nesting of a structured line, default 4
//	LOG_MAX_VALUE            bytes of a field's value, default 4096
//	LOG_PLATFORM_METRICS     true (default): metrics from the platform's reports
//	LOG_LEVEL                debug, info (default), warn or error
//
// IAM, besides the function's own log group:
//
//	kinesis:DescribeStream, kinesis:DescribeStreamSummary, kinesis:GetRecords,
//	kinesis:GetShardIterator, kinesis:ListShards     the stream
//	sqs:SendMessage                  the queue of dead letters, and that of the mapping
//	es:ESHttpPost                    arn:aws:es:REGION:ACCOUNT:domain/NAME/_bulk
//	es:ESHttpPut                     arn:aws:es:REGION:ACCOUNT:domain/NAME/_index_template/LOG_INDEX-banyan
//	secretsmanager:GetSecretValue    the secret, for basic only (ssm:GetParameters, for a parameter)
//	kms:Decrypt                      the keys of stream and secret; with kms:GenerateDataKey that of the queue, where they are the customer's own
//
// Metrics of the shipper, in the namespace Banyan/Operations with the dimension
// Function, which is its name as it is deployed: LogRecords, LogEvents, LogCreated, LogDoubled, LogRefused, LogDropped,
// LogPending, LogUndecodable, LogControl, LogStripped, LogTruncated, LogGaps,
// BulkRequests, BulkRetries and LogLag (ms). Of the subscriber: LogGroupsSeen,
// LogGroupsSubscribed, LogGroupsFull, RetentionsSet, Throttled, Failures and
// Remaining.
//
// Metrics of functions, from the platform's reports, in the namespace
// Banyan/Functions with the dimension FunctionName: Invocations, Duration,
// BilledDuration, InitDuration (ms), MemoryUsed, MemorySize (MB), ColdStarts and
// TimedOut. They are written for reports that were new to the index, so that a
// redelivery counts none twice. A function whose SystemLogLevel is WARN has reports
// of its failures alone, and so have its metrics.
package logs
