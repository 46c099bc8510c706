// Package environment runs one execution environment of a function: a process
// started from the function's bootstrap, and the Runtime API that process polls.
//
// Caveats first: nothing is isolated. The process has the rights of whoever
// started the sandbox, no limit of memory or CPU is enforced, and the file
// system is the machine's own; only the environment variables are as clean as
// in Lambda. It runs on Unix only.
//
// The life of an environment follows the Lambda developer guide, "Understanding
// the Lambda execution environment lifecycle": an Init phase that ends with the
// first request for work, Invoke phases that end with the next such request,
// and a shutdown by SIGKILL. There are no extensions, nor the SIGTERM that they
// get before.
package environment
