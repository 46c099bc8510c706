package acceptance

import "context"

// Check is what Await fails the test with.
func Check(ctx context.Context, a API, api Target) error { return a.check(ctx, api) }

// CheckURL is what URL fails the test with.
func CheckURL(base string) error { return checkURL(base) }
