// Package filter decides which records an event source mapping hands to its
// function: the mapping's FilterCriteria.
//
// The rules are those of the Lambda developer guide, "Control which events
// Lambda sends to your function" and the pages for Kinesis, DynamoDB and SQS:
// a record is kept when one of the patterns matches, and a pattern matches when
// all the fields that it names do. Kinesis mappings filter on data only, which
// is decoded, and SQS mappings on body only; where the record's data is JSON and
// the pattern is for text, or the other way round, the record is dropped. Where
// a record has an array, one of its elements has to match (EventBridge user
// guide, "Arrays").
//
// The comparisons are the ones that Lambda lists: equality (also with null and
// the empty string), equals-ignore-case, anything-but, numeric, exists, prefix,
// suffix and $or. What EventBridge has besides is refused.
package filter
