// Package expression parses and evaluates DynamoDB's expressions: conditions and filters, key
// conditions, updates and projections.
//
// Work is split in three: Parse turns text into an immutable tree; Bind gives it the names and values
// of one request and checks them; Match, Apply and Key then only look at an item. Bound expressions
// belong to one goroutine.
//
// The rules and the words of the messages are those of the service as its developer guide gives
// them and as DynamoDB Local answers; legacy parameters (Expected, KeyConditions and the like) are
// not expressions and not supported.
package expression
