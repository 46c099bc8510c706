package kinesis

import (
	"cmp"
	"crypto/md5"
	"encoding/binary"
	"math/big"
	"math/bits"
)

// hashKey is a point of the 128-bit space that the shards of a stream share.
type hashKey struct{ hi, lo uint64 }

var maxHashKey = hashKey{^uint64(0), ^uint64(0)}

// hashOf is where a partition key belongs.
func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey))
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHashKey reads a decimal of the form 0|([1-9]\d{0,38}) below 2^128.
func parseHashKey(s string) (hashKey, bool) {
	if s == "" || len(s) > 39 || s[0] == '0' && len(s) > 1 {
		return hashKey{}, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return hashKey{}, false
		}
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.BitLen() > 128 {
		return hashKey{}, false
	}
	return hashKeyOf(n), true
}

func hashKeyOf(n *big.Int) hashKey {
	var b [16]byte
	n.FillBytes(b[:])
	return hashKey{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (h hashKey) String() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], h.hi)
	binary.BigEndian.PutUint64(b[8:], h.lo)
	return new(big.Int).SetBytes(b[:]).String()
}

func (h hashKey) compare(o hashKey) int {
	return cmp.Or(cmp.Compare(h.hi, o.hi), cmp.Compare(h.lo, o.lo))
}

// next is h+1, wrapping.
func (h hashKey) next() hashKey {
	lo, carry := bits.Add64(h.lo, 1, 0)
	return hashKey{h.hi + carry, lo}
}

// previous is h-1, wrapping.
func (h hashKey) previous() hashKey {
	lo, borrow := bits.Sub64(h.lo, 1, 0)
	return hashKey{h.hi - borrow, lo}
}

// evenStarts cuts the whole space into n ranges of (nearly) one size and
// returns where each begins.
func evenStarts(n int) []hashKey {
	space := new(big.Int).Lsh(big.NewInt(1), 128)
	starts := make([]hashKey, n)
	for i := range starts {
		at := new(big.Int).Mul(space, big.NewInt(int64(i)))
		starts[i] = hashKeyOf(at.Div(at, big.NewInt(int64(n))))
	}
	return starts
}
