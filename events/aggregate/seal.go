package aggregate

import "github.com/banyan-fig/banyan/events/aggregate/internal/md5lanes"

// sealedAtOnce is how many digests are computed at once, without allocating for
// them.
const sealedAtOnce = 32

// Seal writes the digest into each of the aggregates, which
// [Builder.AppendUnsealed] wrote. For many at once that costs less than for each
// alone.
func Seal(aggregates ...[]byte) {
	var sums [sealedAtOnce][digestSize]byte
	var messages [sealedAtOnce][]byte
	for len(aggregates) > 0 {
		n := min(len(aggregates), sealedAtOnce)
		for i, a := range aggregates[:n] {
			messages[i] = a[len(magic) : len(a)-digestSize]
		}
		md5lanes.Sums(sums[:n], messages[:n])
		for i, a := range aggregates[:n] {
			copy(a[len(a)-digestSize:], sums[i][:])
		}
		aggregates = aggregates[n:]
	}
}
