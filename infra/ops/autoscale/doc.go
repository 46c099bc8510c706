// Package autoscale keeps the number of shards of provisioned Kinesis streams to
// what their load needs.
//
// Caveats first. On-demand streams scale by themselves and are left alone; they
// are the better choice where the price fits. No number of shards helps against a hot
// partition key: it is reported (HotKey). CloudWatch has the figures of a minute one or
// two minutes after it, and a reshard takes from half a minute to many, so
// a load that doubles within five minutes is throttled until then; publishers that
// retry in order lose nothing by that. For known peaks raise min before them.
//
// # What is measured
//
// The utilisation of a shard is the greater of its bytes and its records in a
// minute against its limit (1 MiB/s, 1,000 records/s). With enhanced monitoring of
// IncomingBytes, IncomingRecords and WriteProvisionedThroughputExceeded each shard
// is seen for itself. Without it, or in minutes whose figures do not add up to the
// stream's, the stream's load counts as spread over the hash range evenly, and hot
// ranges cannot be found. Minutes before the last change are not looked at.
//
// Missing figures do not count as no load. Kinesis writes none for a minute in which
// nothing came in, so such a minute counts only if GetRecords was called in it and
// found nothing; any other is unknown. Nothing shrinks by unknown minutes, nor while
// the figures of shards do not add up to the stream's, and ten minutes after the
// last figure nothing is decided any more: that is reported (MetricsMissing). So a stream
// without readers, or with enhanced fan-out only, keeps its shards while it is not
// written.
//
// # What is done
//
//   - Up, where shards are above Up for UpMinutes, or throttle: UpdateShardCount to
//     the least quarter step (125, 150, 175 or 200 % of now, rounded up to a whole
//     shard) whose hottest range is predicted at Target or below; one step more
//     once half of the scalings of a day are used. Uniform scaling makes even ranges.
//   - Split, where few shards are hot in a stream that is not: the hottest is cut
//     in the middle of its range. Also where the scalings of the day are used up.
//   - Down, where for DownMinutes nothing throttled and the prediction from the
//     peak of each shard stays at DownTo or below: to a half or three quarters.
//   - Merge, where that is not possible: two cold neighbours whose peaks together
//     stay at DownTo or below.
//
// Up triggers at 75 %, and nothing shrinks to more than 50 %: a load must grow by
// half after a step down before it is undone. Nor does it shrink below what the
// peak of the last hours would make grow again: for DownMinutes, and as long again
// for each scaling of the day, up to eight times.
//
// # A day like the one before
//
// Where the last two hours resemble those of the day before, to within a quarter in each
// half hour, whatever their height, so will the next, and less is kept in reserve:
//
//   - Shards are hot a sixth above Up (from four shards on), and grow to what the next hour is expected to need.
//   - They shrink after ten minutes, to what the next 90 minutes are expected to need at
//     Up. Nothing shrinks while a rise by a quarter is expected, and no peak is remembered for hours.
//   - A step down needs a scaling now, and that enough are free again when its load is
//     expected to be exceeded: ReserveUps besides the step. Up to 8 shards are merged.
//
// In simulation a day of 0.5 to 12 shards' load has 1.6 times the shards that the load
// fills on average where each shard is measured, 1.7 times where only the stream is;
// without that 2.2 and 2.6 times. The first day, and one that is
// unlike, is scaled as above; so is every day with NoForecast.
//
// # Limits of the API
//
// UpdateShardCount takes at most double and at least half of the open shards, and
// ten calls a stream in 24 hours (a rolling window):
// https://docs.aws.amazon.com/kinesis/latest/APIReference/API_UpdateShardCount.html
// Steps down leave ReserveUps of them for steps up. SplitShard and MergeShards have
// no limit a day.
//
// # Two at once, and interruptions
//
// The state of a stream is an item of a DynamoDB table: the scalings of the last
// day, the last change, a version. Before it changes a stream, a run replaces the version
// that it read before the figures; of two runs one succeeds, the other does nothing. A
// run that is killed after that has changed nothing or all; a run at least half a minute
// later sees an active stream, confirms the change, and decides again after the
// cool-down. A repeated notification finds the same figures and the
// cool-down.
//
// # Wiring
//
// Function stream-autoscaler (infra/ops/autoscale/cmd/stream-autoscaler), 128 MB,
// timeout 60 s, a schedule of rate(1 minute) with any input; an EventInvokeConfig
// with MaximumRetryAttempts 0 and MaximumEventAgeInSeconds 60. An SNS topic with
// the stream's alarms (WriteProvisionedThroughputExceeded > 0) may invoke it too: a
// notification whose alarm has the dimension StreamName looks at that stream only,
// whatever the alarm's state: the figures decide. The table has the partition key
// stream (S), on-demand capacity and point-in-time recovery off. Enhanced
// monitoring of the three metrics on the stream (aws_kinesis_stream
// shard_level_metrics) is paid by shard, and so is reading them: three metrics of
// GetMetricData a shard and minute, some 130,000 a month. Terraform must ignore the shard_count of
// these streams (lifecycle ignore_changes). Alarm on AtLimit, HotKey, MetricsMissing and Failures.
//
// Environment:
//
//	AUTOSCALE_STREAMS   JSON, [{"stream":"banyan-events","min":2,"max":64}]; the
//	                    fields of Policy in lower case are allowed too
//	AUTOSCALE_TABLE     table of states, default banyan-autoscale
//	AUTOSCALE_DRY_RUN   true: decide and report, change nothing
//	LOG_LEVEL           debug, info (default), warn or error
//
// IAM, besides the function's own log group:
//
//	kinesis:DescribeStreamSummary   arn:aws:kinesis:REGION:ACCOUNT:stream/STREAM, each
//	kinesis:ListShards              the same
//	kinesis:UpdateShardCount        the same
//	kinesis:SplitShard              the same
//	kinesis:MergeShards             the same
//	cloudwatch:GetMetricData        *  (has no resources)
//	dynamodb:GetItem                arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE
//	dynamodb:PutItem                the same
//
// Metrics, in the namespace Banyan/Operations with the dimension Stream: Shards,
// Utilisation (of the hottest shard, percent), Throttled (records in the last
// minute), ScalingsLeft (of the day's ten), and 0 or 1 each: ScaledUp, ScaledDown,
// Split, Merged, AtLimit (more is needed than max), HotKey, MetricsMissing (figures are
// missing), Failures.
package autoscale
