//go:build race

package matrix

// Race is whether this program has the race detector.
const Race = true
