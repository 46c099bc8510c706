package search

import (
	"context"
	"encoding/json"
	"errors"
)

// ErrNotBuilt says that there is no index yet to find anything in.
var ErrNotBuilt = errors.New("the search index has not been built yet")

// Match says how each word of a lookup must be found in a document.
type Match int

// Each includes those before it.
const (
	Exact  Match = iota // it is a word of the document
	Prefix              // it begins one
	Typo                // or is at most Edits from one
)

// Edits is how many letters may be added, left out, replaced or exchanged with their neighbour,
// none of them twice: 0 up to two letters, 1 up to five, 2 from six on. (Optimal string
// alignment, as the automata of Lucene and bleve compute it.)
func Edits(word string) int {
	switch n := len([]rune(word)); {
	case n < 3:
		return 0
	case n < 6:
		return 1
	}
	return 2
}

// Lookup asks for documents all of whose words are found by Match, and not by the
// one before Match: a document is in the answer to one of the three only.
type Lookup struct {
	Words []string // at least one
	Match Match
	// After is where to begin: at what is behind it, by rank, highest first, then key.
	After Place
	Limit int // at least 1
}

// Place is one in the order of ranks and keys. Key may be empty: before all of this rank.
type Place struct {
	Rank int64
	Key  string
}

// Hit is a document that was found.
type Hit struct {
	Key  string
	Rank int64
	Data json.RawMessage
}

// Finder answers lookups, all at once, each with its hits in order. Safe for concurrent use.
type Finder interface {
	Find(ctx context.Context, lookups []Lookup) ([][]Hit, error)
}

// Index is what an engine implements, beside Finder.
type Index interface {
	Finder
	// Write puts documents, each once among them, into what is found now and into what is being
	// built. One whose version is not greater than that held changes nothing. What was
	// written is found within a second.
	Write(ctx context.Context, documents []Document) error
	// Build begins an empty index beside the one in which documents are found. One at a time.
	Build(ctx context.Context) (Building, error)
}

// Building is an index that is not in use yet. It ends with Use or Drop.
type Building interface {
	Write(ctx context.Context, documents []Document) error // as that of Index
	// Use has documents found in it from now on; the index before it is removed.
	Use(ctx context.Context) error
	// Drop removes it. After Use it does nothing.
	Drop(ctx context.Context) error
}
