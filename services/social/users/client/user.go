package client

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/banyan-fig/banyan/events"
)

// User is a user as the service shows it.
type User struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Email     string    `json:"email"`
	Bio       string    `json:"bio"`
	Version   int64     `json:"version"`
	CreatedAt time.Time `json:"createdAt"`
}

// NewUser is what Create needs. ID is an ObjectId, see NewID.
type NewUser struct {
	ID        string     `json:"-"`
	Name      string     `json:"name"`
	Email     string     `json:"email"`
	Password  string     `json:"password"`
	Bio       string     `json:"bio,omitempty"`
	CreatedAt *time.Time `json:"createdAt,omitempty"`
}

// Change is what Update changes; nil leaves a field as it is.
type Change struct {
	Name *string `json:"name,omitempty"`
	Bio  *string `json:"bio,omitempty"`
	// IfVersion refuses the change, with ErrVersion, unless the user has it.
	IfVersion *int64 `json:"-"`
}

// Written is the outcome of a write.
type Written struct {
	User User
	// Created is true when this call, or an earlier attempt of it whose answer
	// arrived, made the user.
	Created bool
	// Position of the last event published for the write: what a read model must
	// have applied to show it.
	Position events.Position
}

// Page is a part of a listing. Next is empty at its end.
type Page struct {
	Users []User `json:"users"`
	Next  string `json:"nextCursor"`
}

// NewID makes an ObjectId: the seconds of now, then eight random bytes.
func NewID(now time.Time) string {
	var id [12]byte
	binary.BigEndian.PutUint32(id[:4], uint32(now.Unix()))
	rand.Read(id[4:]) //nolint:errcheck // never returns an error since Go 1.24
	return hex.EncodeToString(id[:])
}
