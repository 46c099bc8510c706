package acceptance

import "context"

// CheckTimeline is what Timeline looks at first.
func CheckTimeline(ctx context.Context, to Target) error { return knownTimeline.at(ctx, to) }

// CheckURL is what URL looks at first.
func CheckURL(base string) error { return checkURL(base) }
