package codec

import (
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// What can be wrong with a document or an item. Test with errors.Is.
var (
	// ErrTooLarge: the item would be larger than MaxItemSize.
	ErrTooLarge error = valueError("larger than a DynamoDB item may be")
	// ErrKeyType: the identifier is not of the plan's key type.
	ErrKeyType error = valueError("identifier of another type")
	// ErrKeySize: a key is empty or longer than MaxKeySize.
	ErrKeySize error = valueError("key of a size that DynamoDB does not accept")
	// ErrNameSize: a name, or the path of a hint, is longer than an attribute name may be.
	ErrNameSize error = valueError("name longer than DynamoDB accepts")
	// ErrKeyMissing: the document has no identifying field.
	ErrKeyMissing error = valueError("no identifier")
	// ErrKeyField: a field that the key is made of is absent, null, or of another kind.
	ErrKeyField error = valueError("a field of the key has no value that can be part of a key")
	// ErrTooDeep: nested beyond MaxDepth, and the plan declares no way out.
	ErrTooDeep error = valueError("nested deeper than DynamoDB allows")
	// ErrMalformed: the bytes are not a BSON document.
	ErrMalformed error = valueError("not a well-formed BSON document")
	// ErrDigits: a number has more digits than any BSON type (34) or than
	// DynamoDB (38) can hold.
	ErrDigits error = valueError("number with too many digits")
	// ErrHint: a hint does not fit the attribute it stands for.
	ErrHint error = valueError("hint does not fit the attribute")
	// ErrAttribute: an attribute of a kind that no BSON type corresponds to.
	ErrAttribute error = valueError("attribute kind without BSON counterpart")
)

// valueError is wrong with a value itself.
type valueError string

func (e valueError) Error() string { return string(e) }

// Permanent reports that another attempt will fail in the same way.
func (valueError) Permanent() bool { return true }

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
	Field  string // where in the document, of which 200 bytes at most; "" for the whole
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

// Permanent reports that another attempt will fail in the same way.
func (e *FitError) Permanent() bool { return true }

// Show renders an identifier for people: an ObjectId as its hex, all else as
// extended JSON, of which 200 bytes at most.
func Show(id bson.RawValue) string {
	if id.Type == bson.TypeObjectID && len(id.Value) == 12 {
		return id.ObjectID().Hex()
	}
	if id.Validate() != nil {
		return "(malformed)"
	}
	return shorten(id.String())
}

func shorten(s string) string {
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "..." // not in the middle of a character
	}
	return s
}
