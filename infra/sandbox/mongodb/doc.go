// Package mongodb is an embedded stand-in for a MongoDB server: it speaks the
// wire protocol, so that the official driver runs against it unchanged, and
// presents itself as the primary of a one-node replica set of version 7.0.
//
// Caveats first. It is for development and tests: everything is in memory and
// gone after Close; there is no authentication, no TLS, no collation, no text or
// geographic search, no map-reduce, no capped collections; TTL indexes are
// accepted and nothing expires; hints are not followed; createIndexes waits for
// open transactions, whatever it finds, and knows no transaction of its own. What
// it does not know it refuses, with CommandNotFound or NotImplemented and a message
// that names the sandbox; it never pretends.
//
// Where a fence is decided it is no kinder than mongod: names are locked as there
// (a rename waits for open transactions, and everything behind it), a write fails
// or waits where a transaction has changed the document, and commands may be
// delayed, lost, carried out late or twice (Fault).
//
// What it does is checked by the suite in its tests, which runs against this
// package and against an independent server alike.
package mongodb
