package search

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of a query.
const (
	MaxQuery      = 200 // characters
	MaxQueryWords = 8
	DefaultLimit  = 20
	MaxLimit      = 100
	maxCursor     = 2048 // bytes; a key of 512 takes 1.4 times as many, more if it is escaped in JSON
)

var (
	// ErrQuery says that a query is too long, or that its limit cannot be.
	ErrQuery = errors.New("invalid search query")
	// ErrCursor says that a cursor is not one that this query returned.
	ErrCursor = errors.New("invalid search cursor")
)

// Searcher searches an index. Safe for concurrent use.
type Searcher struct{ Index Finder }

// Page is a part of what was found, in order.
type Page struct {
	Hits []Hit
	Next string // cursor of the next page; "" if this is the last
}

// cursor is the place of the last hit of a page.
type cursor struct {
	Query uint32 `json:"q"`
	Stage int    `json:"s"`
	Score int64  `json:"n"`
	Key   string `json:"k"`
}

// tier is one kind of match, and what its rank counts.
type tier struct {
	match  Match
	weight int64
}

// stages follow one another; the tiers of one are merged by score.
var stages = [][]tier{{{Exact, 8}, {Prefix, 1}}, {{Typo, 1}}}

// score is comparable over the tiers of a stage. A rank of 0 counts, too.
func (t tier) score(rank int64) int64 { return (rank + 1) * t.weight }

// after is the place in the tier behind which everything has a lower score, or the same
// and a later key.
func (t tier) after(score int64, key string) Place {
	if score%t.weight != 0 {
		key = "" // this tier has no such score: all of the next lower one follow
	}
	return Place{Rank: score/t.weight - 1, Key: key}
}

// Search returns the page behind a cursor, "" for the first. limit is at most MaxLimit, 0 for
// DefaultLimit. A text without any word finds nothing. It fails with ErrQuery, ErrCursor,
// or an error of the index.
func (s Searcher) Search(ctx context.Context, text, after string, limit int) (Page, error) {
	limit = cmp.Or(limit, DefaultLimit)
	if limit < 1 || limit > MaxLimit {
		return Page{}, fmt.Errorf("%w: limit must be 1 to %d", ErrQuery, MaxLimit)
	}
	if len(text) > MaxQuery*utf8.UTFMax || utf8.RuneCountInString(text) > MaxQuery {
		return Page{}, fmt.Errorf("%w: it must have at most %d characters", ErrQuery, MaxQuery)
	}
	words := Words(text)
	if len(words) > MaxQueryWords {
		return Page{}, fmt.Errorf("%w: it must have at most %d words", ErrQuery, MaxQueryWords)
	}
	at, err := parseCursor(after, words)
	if err != nil || len(words) == 0 {
		return Page{}, err
	}
	var page Page
	last := at
	for ; at.Stage < len(stages); at = startOf(at.Query, at.Stage+1) {
		found, err := s.findStage(ctx, words, at, limit+1-len(page.Hits))
		if err != nil {
			return Page{}, fmt.Errorf("search: %w", err)
		}
		for _, f := range found {
			if len(page.Hits) == limit {
				page.Next = last.String()
				return page, nil
			}
			page.Hits = append(page.Hits, f.Hit)
			last = cursor{at.Query, at.Stage, f.score, f.Key}
		}
	}
	return page, nil
}

// found is a hit with its score.
type found struct {
	Hit
	score int64
}

// findStage merges the first hits of the stage's tiers, and returns limit of them.
func (s Searcher) findStage(ctx context.Context, words []string, at cursor, limit int) ([]found, error) {
	tiers := stages[at.Stage]
	lookups := make([]Lookup, len(tiers))
	for i, t := range tiers {
		lookups[i] = Lookup{Words: words, Match: t.match, After: t.after(at.Score, at.Key), Limit: limit}
	}
	answers, err := s.Index.Find(ctx, lookups)
	if err != nil {
		return nil, err
	}
	var all []found
	for i, hits := range answers {
		for _, h := range hits {
			all = append(all, found{h, tiers[i].score(h.Rank)})
		}
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(b.score, a.score), strings.Compare(a.Key, b.Key))
	})
	return all[:min(limit, len(all))], nil
}

// maxScore is above all scores, also after division by a weight.
const maxScore = (MaxRank + 2) * 8

func startOf(query uint32, stage int) cursor {
	return cursor{Query: query, Stage: stage, Score: maxScore}
}

// String is the cursor as clients have it.
func (c cursor) String() string {
	text, _ := json.Marshal(c) // numbers and a text always can be
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseCursor(text string, words []string) (cursor, error) {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(strings.Join(words, " ")))
	query := hash.Sum32()
	if text == "" {
		return startOf(query, 0), nil
	}
	var c cursor
	decoded, err := base64.RawURLEncoding.DecodeString(text[:min(len(text), maxCursor)])
	if err != nil || json.Unmarshal(decoded, &c) != nil || c.Query != query || c.Key == "" || len(c.Key) > MaxKey ||
		c.Stage < 0 || c.Stage >= len(stages) || c.Score < 1 || c.Score > maxScore {
		return cursor{}, fmt.Errorf("%w: use the cursor of the page before, with the same query", ErrCursor)
	}
	return c, nil
}
