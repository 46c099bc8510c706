package codec

import (
	"errors"
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// What can be wrong with a document or an item. Test with errors.Is.
var (
	// ErrTooLarge: the item would be larger than MaxItemSize.
	ErrTooLarge = errors.New("larger than a DynamoDB item may be")
	// ErrKeyType: the identifier is not of the plan's key type.
	ErrKeyType = errors.New("identifier of another type")
	// ErrKeySize: a key is empty or longer than MaxKeySize.
	ErrKeySize = errors.New("key of a size that DynamoDB does not accept")
	// ErrKeyMissing: the document has no identifying field.
	ErrKeyMissing = errors.New("no identifier")
	// ErrTooDeep: nested beyond MaxDepth, and the plan declares no way out.
	ErrTooDeep = errors.New("nested deeper than DynamoDB allows")
	// ErrMalformed: the bytes are not a BSON document.
	ErrMalformed = errors.New("not a well-formed BSON document")
	// ErrDigits: a number has more digits than any BSON type (34) or than
	// DynamoDB (38) can hold.
	ErrDigits = errors.New("number with too many digits")
	// ErrHint: a hint does not fit the attribute it stands for.
	ErrHint = errors.New("hint does not fit the attribute")
	// ErrAttribute: an attribute of a kind that no BSON type corresponds to.
	ErrAttribute = errors.New("attribute kind without BSON counterpart")
)

// Limits of DynamoDB, and the depth this package keeps to.
const (
	MaxItemSize = 400 * 1024 // bytes of names and values
	MaxKeySize  = 2048       // bytes of a partition key
	MaxDepth    = 31         // containers within each other; one less than DynamoDB's 32 levels, the value itself being one
	reserve     = 128        // bytes kept free for the migration's own stamps
)

// FitError says which document cannot be stored as an item, because of which
// field, and what to do about it.
type FitError struct {
	ID     string // the document's identifier as extended JSON
	Field  string // where in the document; "" for the whole
	Reason error  // one of the errors above, wrapped
	WayOut string
}

func (e *FitError) Error() string {
	where := ""
	if e.Field != "" {
		where = fmt.Sprintf(", field %q", e.Field)
	}
	return fmt.Sprintf("document %s%s: %v; %s", e.ID, where, e.Reason, e.WayOut)
}

func (e *FitError) Unwrap() error { return e.Reason }

// Show renders an identifier for people: an ObjectId as its hex, all else as
// extended JSON, of which 200 bytes at most.
func Show(id bson.RawValue) string {
	if id.Type == bson.TypeObjectID && len(id.Value) == 12 {
		return id.ObjectID().Hex()
	}
	if id.Validate() != nil {
		return "(malformed)"
	}
	s := id.String()
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..." // not in the middle of a character
	}
	return s
}
