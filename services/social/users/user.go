package users

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
)

// Limits of what a client may write. Users from other sources may exceed
// them and are served unchanged.
const (
	MaxName  = 200  // characters
	MaxBio   = 2000 // characters
	MaxEmail = 320  // bytes
	// MaxPassword is what bcrypt takes into account, in bytes.
	MaxPassword = 72
	// MaxIDs is the most users that one request can ask for by id.
	MaxIDs = 100
)

// Errors that callers can test with errors.Is.
var (
	// ErrNotFound is returned when there is no user with that id.
	ErrNotFound = errors.New("no such user")
	// ErrEmailTaken is returned by a create with the e-mail of another user.
	ErrEmailTaken = errors.New("another user has this e-mail")
	// ErrIDTaken is returned by a create with an id that another e-mail has.
	ErrIDTaken = errors.New("another user has this id")
	// ErrVersion is returned by a change of a version that is not the present one.
	ErrVersion = errors.New("the user has changed meanwhile")
	// ErrCredentials is returned when e-mail and password do not match a user.
	ErrCredentials = errors.New("wrong e-mail or password")
	// ErrInvalid is returned for input that breaks a rule; the text says which.
	ErrInvalid = errors.New("invalid input")
	// ErrCursor is returned for a cursor that this service did not make, or
	// that a change of the store has invalidated: start the listing again.
	ErrCursor = errors.New("the cursor cannot be used")
	// ErrNotPublished is returned when a write was stored but its event could not
	// be published. Repeat the write.
	ErrNotPublished = errors.New("stored, but the event could not be published")
)

// User is one user as stored.
type User struct {
	// ID is a MongoDB ObjectId: 24 lower-case hex digits.
	ID string
	// Name is the name that other users see.
	Name string
	// Email is unique, compared exactly as stored.
	Email string
	// PasswordHash is a bcrypt hash; it never leaves the service.
	PasswordHash string
	// Bio may be empty.
	Bio string
	// Version grows with each write; 0 for users never written by this service.
	Version int64
	// CreatedAt is in UTC with milliseconds.
	CreatedAt time.Time
}

// NewUser is the input for creating a user.
type NewUser struct {
	ID, Name, Email, Password, Bio string
	// CreatedAt: zero means the present time.
	CreatedAt time.Time
}

// Validate checks the limits. The error wraps ErrInvalid and names the field.
func (n NewUser) Validate() error {
	if err := ValidateID(n.ID); err != nil {
		return err
	}
	if err := validateText("name", n.Name, 1, MaxName); err != nil {
		return err
	}
	if err := validateText("bio", n.Bio, 0, MaxBio); err != nil {
		return err
	}
	if err := validateEmail(n.Email); err != nil {
		return err
	}
	if n.Password == "" || len(n.Password) > MaxPassword {
		return fmt.Errorf("%w: password must have 1 to %d bytes", ErrInvalid, MaxPassword)
	}
	if y := n.CreatedAt.UTC().Year(); !n.CreatedAt.IsZero() && (y < 1970 || y > 9999) {
		return fmt.Errorf("%w: createdAt must be between the years 1970 and 9999", ErrInvalid)
	}
	return nil
}

// Change is a change by a client; a nil field stays unchanged.
type Change struct {
	Name *string
	Bio  *string
	// IfVersion refuses the change, with ErrVersion, unless the user has this
	// version.
	IfVersion *int64
}

// Validate checks the limits. The error wraps ErrInvalid and names the field.
func (c Change) Validate() error {
	if c.Name == nil && c.Bio == nil {
		return fmt.Errorf("%w: there is nothing to change: send name or bio", ErrInvalid)
	}
	if c.Name != nil {
		if err := validateText("name", *c.Name, 1, MaxName); err != nil {
			return err
		}
	}
	if c.Bio != nil {
		return validateText("bio", *c.Bio, 0, MaxBio)
	}
	return nil
}

// Applied returns u with the change and the next version.
func (c Change) Applied(u User) User {
	u.Version++
	if c.Name != nil {
		u.Name = *c.Name
	}
	if c.Bio != nil {
		u.Bio = *c.Bio
	}
	return u
}

// Done reports whether u is the result of the change on the version that it was
// made for: a client repeats a change whose response was lost.
func (c Change) Done(u User) bool {
	return c.IfVersion != nil && u.Version == *c.IfVersion+1 &&
		(c.Name == nil || *c.Name == u.Name) && (c.Bio == nil || *c.Bio == u.Bio)
}

// ValidateID checks that id is an ObjectId in lower-case hex.
func ValidateID(id string) error {
	if len(id) != 24 || strings.Trim(id, "0123456789abcdef") != "" {
		return fmt.Errorf("%w: id must be 24 lower-case hex digits", ErrInvalid)
	}
	return nil
}

// CreatedFromID returns the time in an ObjectId: its first four bytes are seconds
// since 1970. It is used for a missing createdAt.
func CreatedFromID(id string) time.Time {
	if len(id) < 8 {
		return time.Time{}
	}
	seconds, err := strconv.ParseUint(id[:8], 16, 32)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

func validateText(field, value string, least, most int) error {
	n := utf8.RuneCountInString(value)
	switch {
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return fmt.Errorf("%w: %s must be UTF-8 text without NUL", ErrInvalid, field)
	case n < least || strings.TrimSpace(value) == "" && least > 0:
		return fmt.Errorf("%w: %s must not be empty", ErrInvalid, field)
	case n > most:
		return fmt.Errorf("%w: %s must have at most %d characters, not %d", ErrInvalid, field, most, n)
	}
	return nil
}

func validateEmail(email string) error {
	at := strings.IndexByte(email, '@')
	switch {
	case len(email) > MaxEmail:
		return fmt.Errorf("%w: email must have at most %d bytes", ErrInvalid, MaxEmail)
	case at <= 0 || at == len(email)-1 || strings.ContainsAny(email, " \t\r\n\x00") || !utf8.ValidString(email):
		return fmt.Errorf("%w: email must look like name@host", ErrInvalid)
	}
	return nil
}

func joined(u User) events.Payload {
	return social.UserJoined{UserID: u.ID, Name: u.Name, JoinedAt: u.CreatedAt}
}

func profileUpdated(u User) events.Payload {
	return social.UserProfileUpdated{UserID: u.ID, Name: u.Name, Bio: u.Bio, Version: u.Version}
}
