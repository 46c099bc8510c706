package route

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// A cohort is the share of subjects that a split route forwards. Membership
// is a keyed hash: a client cannot compute it, so cannot choose it; it is the
// same on every proxy with the same key; and it is monotone: the subjects in
// at 10 percent are in at 20 as well.
type cohort struct {
	key  []byte
	name string
}

// share is the subject's fixed number in [0, 100): it is in when the route's
// percentage is above it.
func (c cohort) share(subject string) float64 {
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(c.name))
	h.Write([]byte{0})
	h.Write([]byte(subject))
	v := binary.BigEndian.Uint64(h.Sum(nil)) >> 11 // 53 bits: exact in a float64
	return float64(v) / (1 << 53) * 100
}

func (c cohort) contains(subject string, percent float64) bool { return c.share(subject) < percent }
