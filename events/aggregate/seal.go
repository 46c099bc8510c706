package aggregate

import "crypto/md5" //nolint:gosec // the format says MD5, as a checksum

// Seal writes the digest into each of the aggregates, which
// [Builder.AppendUnsealed] wrote.
func Seal(aggregates ...[]byte) {
	for _, a := range aggregates {
		end := len(a) - digestSize
		digest := md5.Sum(a[len(magic):end]) //nolint:gosec // as above
		copy(a[end:], digest[:])
	}
}
