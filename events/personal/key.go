package personal

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

var (
	// ErrErased is returned for the key of a subject that was erased.
	ErrErased = errors.New("the subject was erased")
	// ErrNoKey is returned for the key of a subject that never had one.
	ErrNoKey = errors.New("the subject has no key")
)

// Keys has the key of each subject. Safe for concurrent use.
type Keys interface {
	// Make returns the key of a subject, which gets one unless it has. [ErrErased].
	// Any other error is the store's, and a later call may succeed.
	Make(ctx context.Context, subject string) (Key, error)
	// Find returns the key of a subject. [ErrErased], [ErrNoKey]. Any other error is
	// the store's.
	Find(ctx context.Context, subject string) (Key, error)
}

// KeySize is the size of a key in bytes.
const KeySize = 32

// Key is a subject's. Make it with [NewKey]. It is never printed.
type Key struct {
	id   string
	aead cipher.AEAD
}

// NewKey makes the key of [KeySize] random bytes.
func NewKey(secret []byte) (Key, error) {
	if len(secret) != KeySize {
		return Key{}, fmt.Errorf("personal: a key has %d bytes, not %d", KeySize, len(secret))
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return Key{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return Key{}, err
	}
	sum := sha256.Sum256(append([]byte("banyan personal key id\x00"), secret...))
	return Key{hex.EncodeToString(sum[:8]), aead}, nil
}

// ID identifies the key, and tells nothing else about it.
func (k Key) ID() string { return k.id }

// Format keeps the key out of what is printed.
func (k Key) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "personal.Key(%s)", k.id) }
