// Package streamtest simulates what happens between a publisher and a read
// model, for tests: a seeded world of users whose events lie on shards, some of
// them published twice; a delivery like that of Lambda, which repeats batches
// in whole, in part and late, and ends invocations in their midst; faults
// on the wire to DynamoDB; and a queue whose messages come more than once.
package streamtest
