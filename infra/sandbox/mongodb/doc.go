// Package mongodb is an embedded stand-in for a MongoDB server: it speaks the
// wire protocol, so that the official driver runs against it unchanged, and
// presents itself as the primary of a one-node replica set of version 7.0.
//
// Caveats first. It is for development and tests: everything is in memory and
// gone after Close; there is no authentication, no TLS, no collation, no text or
// geographic search, no map-reduce; TTL indexes are accepted and nothing
// expires; hints are not followed. What it does not know it refuses, with
// CommandNotFound or NotImplemented and a message that names the sandbox; it
// never pretends.
//
// What it does is checked by the suite in its tests, which runs against this
// package and against an independent server alike.
package mongodb
