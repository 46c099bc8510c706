package side

import "go.mongodb.org/mongo-driver/v2/bson"

// Mismatch is one difference between the stores.
type Mismatch struct {
	ID       string `json:"id"`   // of the document, or the unique value
	Kind     string `json:"kind"` // one of the Mismatch... constants
	Detail   string `json:"detail,omitempty"`
	Repaired bool   `json:"repaired,omitempty"`

	DocumentID  bson.RawValue `json:"-" dynamodbav:"-"` // zero for MismatchLeftover and MismatchMisplaced
	UniqueValue string        `json:"-" dynamodbav:"-"` // of MismatchUnique and MismatchLeftover; the item's key as text of MismatchMisplaced
	Constraint  int           `json:"-" dynamodbav:"-"` // its index in the plan
}

// Kinds of mismatches.
const (
	MismatchMissing   = "missing"          // in MongoDB, not in DynamoDB
	MismatchExtra     = "extra"            // in DynamoDB, not in MongoDB
	MismatchDifferent = "different"        // in both, not the same
	MismatchUnique    = "unique-wrong"     // a unique value has no entry, or one of another document
	MismatchLeftover  = "unique-left-over" // an entry whose owner does not have the value
	MismatchMisplaced = "misplaced"        // an item where its document's entry does not lead
)
