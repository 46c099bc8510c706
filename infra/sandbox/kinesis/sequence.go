package kinesis

import (
	"strconv"
)

// A sequence number is 56 decimal digits: "49", the stream's clock in 20
// digits, 22 zeros, the shard's number in 12. Compared as numbers or as text
// they order by clock, and one stream has one clock: so they grow from a
// parent shard to its children.
const (
	sequencePrefix = "49"
	clockDigits    = 20
	shardDigits    = 12
	sequenceLength = 56
)

func formatSequence(clock uint64, shard int) string {
	return string(appendSequence(make([]byte, 0, sequenceLength), clock, shard))
}

func appendSequence(b []byte, clock uint64, shard int) []byte {
	b = append(b, sequencePrefix...)
	b = appendPadded(b, clock, clockDigits)
	return appendPadded(b, uint64(shard), sequenceLength-len(sequencePrefix)-clockDigits)
}

func appendPadded(b []byte, n uint64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, 10)
	for range width - len(text) {
		b = append(b, '0')
	}
	return append(b, text...)
}

// parseSequence is the inverse of formatSequence; false means that no stream
// of this package made it.
func parseSequence(s string) (clock uint64, shard int, ok bool) {
	if len(s) != sequenceLength || s[:len(sequencePrefix)] != sequencePrefix {
		return 0, 0, false
	}
	clock, err := strconv.ParseUint(s[2:2+clockDigits], 10, 64)
	if err != nil {
		return 0, 0, false
	}
	n, err := strconv.ParseUint(s[sequenceLength-shardDigits:], 10, 31)
	if err != nil || formatSequence(clock, int(n)) != s {
		return 0, 0, false
	}
	return clock, int(n), true
}
