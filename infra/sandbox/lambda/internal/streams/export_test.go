package streams

// What the tests in the external package look at.
var (
	Failures = failures
	Fits     = fits
	Payload  = payload
)
