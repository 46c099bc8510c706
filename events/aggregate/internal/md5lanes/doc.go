// Package md5lanes computes the MD5 digests of several messages side by side.
//
// MD5 is a chain in which each step waits for the one before, so that a core
// which works on one message does nothing most of the time: 1.3 us for 1,000
// bytes where this was measured, twice as much as SHA-256 in hardware. With AVX2,
// eight messages take half again as long as one (0.24 us for 1,000 bytes; twice
// as many lanes, with AVX-512, are a quarter better when all are used, and worse
// when half are). Elsewhere, and for a single message, this is crypto/md5.
//
// It is for checksums that a format asks for. MD5 protects from nobody.
package md5lanes

import (
	"crypto/md5" //nolint:gosec // see the package comment
)

// Size is the length of a digest in bytes.
const Size = md5.Size

// Sums writes the digest of each message into the same place of sums, which must
// have as many.
func Sums(sums [][Size]byte, messages [][]byte) {
	if len(messages) >= fewest && hasVectors {
		sumVectors(sums, messages)
		return
	}
	for i, m := range messages {
		sums[i] = md5.Sum(m) //nolint:gosec // as above
	}
}
