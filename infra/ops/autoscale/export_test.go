package autoscale

import "time"

// Following is the state that a decision leaves behind.
func Following(s State, d Decision, now time.Time) State { return s.stateAfter(d, now) }

// Predict is what Decide expects of n even ranges.
var Predict = predict
