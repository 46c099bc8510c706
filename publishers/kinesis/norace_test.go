//go:build !race

package kinesis_test

const raceDetector = false
