// Package cloudwatch is a stand-in for the part of CloudWatch that Banyan asks:
// alarms and their states, and metrics that are put and read again.
//
// Caveats first:
//
//   - Alarms do not look at metrics. They are in INSUFFICIENT_DATA until
//     SetAlarmState says otherwise, and stay where that put them; CloudWatch
//     itself looks again at the next period.
//   - Of an alarm are kept its name, metric or metric math, dimensions, threshold
//     and state, not its actions.
//   - Alarms do nothing when they change: nobody is notified.
//   - Metrics are kept by the minute, the last MaxPoints of at most MaxSeries, and
//     can be read at once, where CloudWatch takes minutes. There are no expressions,
//     percentiles and units. Namespaces that begin with AWS/ are the services' own:
//     [Server.Record] writes them for those that play a service.
//   - Smithy's RPC v2 in CBOR is spoken, which the SDKs for Go and others of 2025
//     and later send; JSON, which the AWS CLI sends, and the older query protocol
//     are refused.
//   - Signatures are not checked, so whoever serves it listens on loopback.
//
// Operations: PutMetricAlarm, PutCompositeAlarm (its rule is kept and not
// evaluated), DescribeAlarms (by names, prefix, state and type, in pages),
// SetAlarmState, DescribeAlarmHistory (of the last 100 changes of state), DeleteAlarms,
// PutMetricData, GetMetricData. Others are refused as not implemented.
//
// The protocol: https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
package cloudwatch
