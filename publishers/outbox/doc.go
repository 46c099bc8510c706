// Package outbox keeps events in MongoDB in the same step as the change that
// they tell about, and relays them to a publisher.
package outbox
