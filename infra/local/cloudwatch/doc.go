// Package cloudwatch is a stand-in for the part of CloudWatch that Banyan asks:
// alarms and their states.
//
// Caveats first:
//
//   - Alarms do not look at metrics. They are in INSUFFICIENT_DATA until
//     SetAlarmState says otherwise, and stay where that put them; CloudWatch
//     itself looks again at the next period.
//   - Alarms do nothing when they change: nobody is notified.
//   - Only smithy's RPC v2 in CBOR is spoken, which is what SDKs of 2025 and later
//     send; the older query protocol is refused.
//   - Signatures are not checked, so whoever serves it listens on loopback.
//
// Operations: PutMetricAlarm, PutCompositeAlarm (its rule is kept and not
// evaluated), DescribeAlarms (by names, prefix, state and type, in pages),
// SetAlarmState, DeleteAlarms. Others are refused as not implemented.
//
// The protocol: https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
package cloudwatch
