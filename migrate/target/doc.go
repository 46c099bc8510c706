// Package target is the DynamoDB side of a migration: the entity's table and the
// tables of its unique constraints. It encodes documents, writes them on the
// condition that nothing newer stands in their place, and compares them with what
// the tables hold.
package target
