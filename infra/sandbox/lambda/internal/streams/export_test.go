package streams

// What the tests in the external package look at.
var (
	FailedFrom = failedFrom
	Fits       = fits
	Payload    = payload
)

// Success is FailedFrom's answer for a batch without failures.
const Success = success
