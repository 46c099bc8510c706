// Package sandbox composes the sandbox: stand-ins for the AWS services and the
// MongoDB that Banyan uses, in one process, over the wire, so that the official
// clients run against it unchanged.
//
// Caveats first. Everything is in memory and gone with [Sandbox.Close]. There
// is no authentication: it listens on loopback only. What it does not do it
// refuses with an error that says "not implemented by the sandbox". What it
// claims is checked by conformance suites that also run against other
// implementations (see the folder conformance).
//
// The sandbox is reached only by the environment that any SDK user knows
// ([Sandbox.Env]). A service for which the user's environment already names a
// server (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE>, MONGODB_URI) is not
// embedded, and its variables are passed on.
package sandbox
