package users

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/banyan-fig/banyan/services/entity"
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

// ErrCredentials is returned when e-mail and password do not match a user.
var ErrCredentials = errors.New("wrong e-mail or password")

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

// MarshalBSON makes the document of a user.
func (u User) MarshalBSON() ([]byte, error) {
	id, err := objectID(u.ID)
	if err != nil {
		return nil, err
	}
	doc := bson.D{{Key: "_id", Value: id}, {Key: "name", Value: u.Name}, {Key: "email", Value: u.Email}, {Key: "password", Value: u.PasswordHash}}
	if u.Bio != "" {
		doc = append(doc, bson.E{Key: "bio", Value: u.Bio})
	}
	return bson.Marshal(append(doc, bson.E{Key: "version", Value: u.Version}, bson.E{Key: "createdAt", Value: u.CreatedAt}))
}

// UnmarshalBSON reads a document as leniently as the years that wrote it were: a field of another
// type than expected counts as missing, and who has no createdAt joined at the time in the id.
func (u *User) UnmarshalBSON(b []byte) error {
	doc := bson.Raw(b)
	id, ok := doc.Lookup("_id").ObjectIDOK()
	if !ok {
		return fmt.Errorf("the user %v has no ObjectId", doc.Lookup("_id"))
	}
	text := func(field string) string {
		s, _ := doc.Lookup(field).StringValueOK()
		return s
	}
	*u = User{ID: id.Hex(), Name: text("name"), Email: text("email"), PasswordHash: text("password"), Bio: text("bio"), CreatedAt: id.Timestamp().UTC()}
	u.Version, _ = doc.Lookup("version").AsInt64OK()
	if at, ok := doc.Lookup("createdAt").TimeOK(); ok {
		u.CreatedAt = at.UTC()
	}
	return nil
}

// NewUser is the input for creating a user.
type NewUser struct {
	ID       string `json:"-"`
	Name     string `json:"name"`
	Email    string `json:"email"`
	Password string `json:"password"`
	Bio      string `json:"bio"`
	// CreatedAt: zero means the present time.
	CreatedAt time.Time `json:"createdAt"`
}

// Validate checks the limits. The error wraps entity.ErrInvalid and names the field.
func (n NewUser) Validate() error {
	if _, err := objectID(n.ID); err != nil {
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
		return fmt.Errorf("%w: password must have 1 to %d bytes", entity.ErrInvalid, MaxPassword)
	}
	if y := n.CreatedAt.UTC().Year(); !n.CreatedAt.IsZero() && (y < 1970 || y > 9999) {
		return fmt.Errorf("%w: createdAt must be between the years 1970 and 9999", entity.ErrInvalid)
	}
	return nil
}

// Change is a change by a client; a nil field stays unchanged.
type Change struct {
	Name *string `json:"name"`
	Bio  *string `json:"bio"`
	// IfVersion refuses the change, with entity.ErrVersion, unless the user has this version.
	IfVersion *int64 `json:"-"`
}

// Validate checks the limits. The error wraps entity.ErrInvalid and names the field.
func (c Change) Validate() error {
	if c.Name == nil && c.Bio == nil {
		return fmt.Errorf("%w: there is nothing to change: send name or bio", entity.ErrInvalid)
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

// Apply makes the change.
func (c Change) Apply(u *User) {
	if c.Name != nil {
		u.Name = *c.Name
	}
	if c.Bio != nil {
		u.Bio = *c.Bio
	}
}

// Done reports whether u is the result of the change on the version that it was
// made for: a client repeats a change whose response was lost.
func (c Change) Done(u User) bool {
	return c.IfVersion != nil && u.Version == *c.IfVersion+1 &&
		(c.Name == nil || *c.Name == u.Name) && (c.Bio == nil || *c.Bio == u.Bio)
}

// objectID reads an id: an ObjectId in lower-case hex. entity.ErrInvalid.
func objectID(id string) (bson.ObjectID, error) {
	oid, err := bson.ObjectIDFromHex(id)
	if err != nil || oid.Hex() != id {
		return oid, fmt.Errorf("%w: id must be 24 lower-case hex digits", entity.ErrInvalid)
	}
	return oid, nil
}

func validateText(field, value string, least, most int) error {
	n := utf8.RuneCountInString(value)
	switch {
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		return fmt.Errorf("%w: %s must be UTF-8 text without NUL", entity.ErrInvalid, field)
	case n < least || strings.TrimSpace(value) == "" && least > 0:
		return fmt.Errorf("%w: %s must not be empty", entity.ErrInvalid, field)
	case n > most:
		return fmt.Errorf("%w: %s must have at most %d characters, not %d", entity.ErrInvalid, field, most, n)
	}
	return nil
}

func validateEmail(email string) error {
	at := strings.IndexByte(email, '@')
	switch {
	case len(email) > MaxEmail:
		return fmt.Errorf("%w: email must have at most %d bytes", entity.ErrInvalid, MaxEmail)
	case at <= 0 || at == len(email)-1 || strings.ContainsAny(email, " \t\r\n\x00") || !utf8.ValidString(email):
		return fmt.Errorf("%w: email must look like name@host", entity.ErrInvalid)
	}
	return nil
}
