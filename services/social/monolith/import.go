package monolith

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/banyan-fig/banyan/infra/mongoerr"
)

// importBatch is how many documents are inserted at once.
const importBatch = 500

// BadDocument is a document of an export that was not imported.
type BadDocument struct {
	File string
	Line int
	Err  error
}

// Error says where and what, as compilers do.
func (b *BadDocument) Error() string { return fmt.Sprintf("%s:%d: %v", b.File, b.Line, b.Err) }

// Unwrap returns the reason.
func (b *BadDocument) Unwrap() error { return b.Err }

// ImportSummary is what Import did. Documents = Imported + AlreadyThere + Bad. What
// had to be inserted again because a connection broke may count as already there.
type ImportSummary struct {
	Documents    int64 `json:"documents"`
	Imported     int64 `json:"imported"`
	AlreadyThere int64 `json:"already_there"`
	Bad          int64 `json:"bad"`
}

// ErrFile is returned for an export that is not valid as a whole.
var ErrFile = errors.New("not a mongoexport file")

// Import loads users from a mongoexport file in extended JSON, canonical or
// relaxed: one document a line, or an array. It streams, so memory does not grow
// with the file. Unknown fields are kept.
//
// A document that cannot be a user is given to bad, with its line, and nothing of
// it is imported; the others are. Importing a file again finds its users already
// there. The collection must still be MongoDB's: after a switch it is read-only.
func Import(ctx context.Context, db Database, name string, r io.Reader, bad func(*BadDocument)) (ImportSummary, error) {
	if err := makeEmailsUnique(ctx, db); err != nil {
		return ImportSummary{}, err
	}
	i := &importer{db: db, file: name, bad: bad}
	err := readExport(r, func(e exported) error { return i.add(ctx, e) })
	if flushErr := i.flush(ctx); flushErr != nil {
		return i.sum, flushErr
	}
	if err != nil && i.failed == nil {
		return i.sum, fmt.Errorf("%w: %s:%w", ErrFile, name, err)
	}
	return i.sum, err
}

type importer struct {
	db     Database
	file   string
	bad    func(*BadDocument)
	docs   []any
	lines  []int
	sum    ImportSummary
	failed error
}

func (i *importer) add(ctx context.Context, e exported) error {
	i.sum.Documents++
	doc, err := parseUser(e.text)
	if err != nil {
		i.refuse(e.line, err)
		return nil
	}
	i.docs, i.lines = append(i.docs, doc), append(i.lines, e.line)
	if len(i.docs) < importBatch {
		return nil
	}
	return i.flush(ctx)
}

func (i *importer) refuse(line int, err error) {
	i.sum.Bad++
	i.bad(&BadDocument{File: i.file, Line: line, Err: err})
}

func (i *importer) flush(ctx context.Context) error {
	if i.failed != nil {
		return i.failed
	}
	refused, err := insertAll(ctx, i.db, usersCollection, i.docs)
	if err != nil {
		i.failed = err
		return err
	}
	i.sum.Imported += int64(len(i.docs) - len(refused))
	for n := range i.docs {
		if why, ok := refused[n]; ok {
			if err := i.explainRefusal(ctx, n, why); err != nil {
				i.failed = err
				return err
			}
		}
	}
	i.docs, i.lines = i.docs[:0], i.lines[:0]
	return nil
}

// explainRefusal distinguishes a document that was imported before from a conflicting one.
func (i *importer) explainRefusal(ctx context.Context, n int, why mongo.WriteError) error {
	if why.Code != mongoerr.DuplicateKey {
		i.refuse(i.lines[n], errors.New(why.Message))
		return nil
	}
	doc := i.docs[n].(bson.Raw)
	stored, err := find[bson.Raw](ctx, i.db, usersCollection, bson.D{{Key: "_id", Value: doc.Lookup("_id")}}, options.Find())
	switch {
	case err != nil:
		return fmt.Errorf("look for user %s: %w", doc.Lookup("_id"), err)
	case len(stored) == 0:
		i.refuse(i.lines[n], fmt.Errorf("another user has the email %s", doc.Lookup("email")))
	case !bytes.Equal(stored[0], doc):
		i.refuse(i.lines[n], fmt.Errorf("a different user has the _id %s", doc.Lookup("_id")))
	default:
		i.sum.AlreadyThere++
	}
	return nil
}

// parseUser reads one document and checks what every user must have.
func parseUser(text []byte) (bson.Raw, error) {
	if err := checkJSON(text); err != nil {
		return nil, err
	}
	var doc bson.Raw
	if err := bson.UnmarshalExtJSON(text, false, &doc); err != nil {
		return nil, fmt.Errorf("not extended JSON: %w", err)
	}
	if err := doc.Validate(); err != nil {
		return nil, fmt.Errorf("not extended JSON: %w", err)
	}
	if _, ok := doc.Lookup("_id").ObjectIDOK(); !ok {
		return nil, errors.New(`_id must be an ObjectId: {"$oid": "24 hex digits"}`)
	}
	for _, field := range []string{"name", "email", "password"} {
		if s, ok := doc.Lookup(field).StringValueOK(); !ok || s == "" {
			return nil, fmt.Errorf("%s must be a text that is not empty", field)
		}
	}
	return doc, checkFields(doc)
}

// checkJSON names the column of an error, which extended JSON's reader does not,
// and refuses what comes after the document.
func checkJSON(text []byte) error {
	if len(text) == 0 || text[0] != '{' {
		return errors.New("a document was expected, one a line, or an array of documents")
	}
	var any json.RawMessage
	err := json.Unmarshal(text, &any)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("not JSON at column %d: %w", syntax.Offset, err)
	}
	return err
}

// checkFields refuses what a document must not have twice or at all.
func checkFields(doc bson.Raw) error {
	elements, err := doc.Elements()
	if err != nil {
		return err
	}
	seen := make(map[string]bool, len(elements))
	for _, e := range elements {
		key := e.Key()
		if seen[key] {
			return fmt.Errorf("the field %q is there twice", key)
		}
		if strings.HasPrefix(key, "$") {
			return fmt.Errorf("the field %q begins with $", key)
		}
		seen[key] = true
	}
	return nil
}

// CheckExport reads an export as Import does and stores nothing: bad is called with every
// document that could not be a user. Clashes between documents are not looked for.
func CheckExport(name string, r io.Reader, bad func(*BadDocument)) error {
	err := readExport(r, func(e exported) error {
		if _, err := parseUser(e.text); err != nil {
			bad(&BadDocument{File: name, Line: e.line, Err: err})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: %s:%w", ErrFile, name, err)
	}
	return nil
}
