// Package streamtest simulates what happens between a publisher and a read
// model, for tests: a seeded world of users whose events lie on shards, some of
// them published twice; a delivery like that of Lambda, which repeats batches
// in whole, in part and late, and ends invocations in their midst; and faults
// on the wire to DynamoDB.
package streamtest
