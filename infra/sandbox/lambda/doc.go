// Package lambda is the sandbox's Lambda: it runs real function binaries,
// unchanged, behind Lambda's own API.
//
// Caveats first. Nothing is isolated and no memory or CPU limit is enforced:
// functions are processes of whoever started the sandbox. Functions are zip
// archives with an executable named bootstrap (the runtimes provided,
// provided.al2 and provided.al2023); code in S3, container images and every
// other runtime are refused. Layers are kept and described, but not given to
// functions: one that has any cannot be invoked. Provisioned concurrency is noted
// and starts nothing. Everything is kept in memory and in a
// temporary directory, and is gone with the Host; so are the checkpoints of
// event source mappings. A mapping of a queue keeps to the five batches at a time
// with which Lambda begins. A new function is Active at once. Permissions are not
// checked. What is not there answers with an error that begins with "not
// implemented by the sandbox".
//
// The parts, in the order in which an event meets them: the functions API
// (routes.go and the files named after its resources), invocation by request
// (invoke.go), as an event (async.go) or from a stream or queue (mappings.go and
// internal/streams, past internal/filter), the choice of an execution environment (pool.go), and the
// process with its Runtime API (internal/environment).
package lambda
