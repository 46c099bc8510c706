package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/analysis/analyzer/keyword"
	"github.com/blevesearch/bleve/v2/mapping"
	blevesearch "github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/query"
	"github.com/blevesearch/bleve_index_api"

	"github.com/banyan-fig/banyan/consumers/search"
)

// Fields of a document in bleve.
const (
	fieldWords   = "words"
	fieldRank    = "rank"
	fieldVersion = "version" // in decimal: numbers are of type float64
	fieldData    = "data"
)

// generation is one index of bleve. One goroutine at a time writes, others may search.
type generation struct {
	path     string
	bleve    bleve.Index
	inMemory chan struct{} // batches that are not on the disk yet: a slot each
}

// maxInMemory bounds the memory of batches, which do not wait for the disk one by one: what a crash
// leaves is not used.
const maxInMemory = 8

// withoutWaiting is a configuration for one index: bleve keeps the map, and writes to it.
func withoutWaiting() map[string]any { return map[string]any{"unsafe_batch": true} }

func create(path string) (*generation, error) {
	b, err := bleve.NewUsing(path, newMapping(), bleve.Config.DefaultIndexType, bleve.Config.DefaultKVStore, withoutWaiting())
	if err != nil {
		return nil, fmt.Errorf("make a search index: %w", err)
	}
	return &generation{path, b, make(chan struct{}, maxInMemory)}, nil
}

func reopen(path string) (*generation, error) {
	b, err := bleve.OpenUsing(path, withoutWaiting())
	if err != nil {
		return nil, fmt.Errorf("open a search index: %w", err)
	}
	return &generation{path, b, make(chan struct{}, maxInMemory)}, nil
}

// acquire waits for a place for another batch in memory.
func (g *generation) acquire(ctx context.Context) error {
	select {
	case g.inMemory <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the disk of the search index: %w", ctx.Err())
	}
}

func (g *generation) release(error) { <-g.inMemory }

// newMapping has no field but ours, and no analysis: the words are made by [search.Words].
func newMapping() mapping.IndexMapping {
	stored := func(f *mapping.FieldMapping) *mapping.FieldMapping {
		f.Index, f.Store, f.IncludeInAll, f.DocValues, f.IncludeTermVectors = false, true, false, false, false
		return f
	}
	words := stored(bleve.NewKeywordFieldMapping())
	words.Index, words.Store = true, false
	rank := stored(bleve.NewNumericFieldMapping())
	rank.Index, rank.DocValues = true, true
	document := bleve.NewDocumentStaticMapping()
	document.AddFieldMappingsAt(fieldWords, words)
	document.AddFieldMappingsAt(fieldRank, rank)
	document.AddFieldMappingsAt(fieldVersion, stored(bleve.NewKeywordFieldMapping()))
	document.AddFieldMappingsAt(fieldData, stored(bleve.NewKeywordFieldMapping()))
	document.AddSubDocumentMapping("_all", bleve.NewDocumentDisabledMapping())
	m := bleve.NewIndexMapping()
	m.DefaultMapping, m.DefaultAnalyzer = document, keyword.Name
	return m
}

// write writes what is newer than what is held.
func (g *generation) write(ctx context.Context, documents []search.Document) error {
	batch := g.bleve.NewBatch()
	for _, d := range documents {
		if err := ctx.Err(); err != nil {
			return err
		}
		held, err := g.versionOf(d.Key)
		if err != nil {
			return err
		}
		if d.Version <= held {
			continue
		}
		err = batch.Index(d.Key, map[string]any{
			fieldWords: d.Words, fieldRank: float64(d.Rank), fieldVersion: strconv.FormatInt(d.Version, 10), fieldData: string(d.Data),
		})
		if err != nil {
			return fmt.Errorf("index %q: %w", d.Key, err)
		}
	}
	if batch.Size() == 0 {
		return nil
	}
	if err := g.acquire(ctx); err != nil {
		return err
	}
	batch.SetPersistedCallback(g.release) // at once, or when the disk works again
	if err := g.bleve.Batch(batch); err != nil {
		g.release(nil)
		return fmt.Errorf("write %d documents to the search index: %w", batch.Size(), err)
	}
	return nil
}

// versionOf is 0 where there is none.
func (g *generation) versionOf(key string) (version int64, err error) {
	document, err := g.bleve.Document(key)
	if err != nil {
		return 0, fmt.Errorf("read the version of %q: %w", key, err)
	}
	if document == nil {
		return 0, nil
	}
	document.VisitFields(func(f index.Field) {
		if f.Name() == fieldVersion {
			version, err = strconv.ParseInt(string(f.Value()), 10, 64)
		}
	})
	return version, err
}

func (g *generation) find(ctx context.Context, l search.Lookup) ([]search.Hit, error) {
	request := bleve.NewSearchRequestOptions(queryOf(l), l.Limit, 0, false)
	request.Score = "none"
	request.Fields = []string{fieldRank, fieldData}
	request.SortByCustom(blevesearch.SortOrder{
		&blevesearch.SortField{Field: fieldRank, Type: blevesearch.SortFieldAsNumber, Desc: true}, &blevesearch.SortDocID{},
	})
	request.SetSearchAfter([]string{strconv.FormatInt(l.After.Rank, 10), l.After.Key})
	result, err := g.bleve.SearchInContext(ctx, request)
	if err != nil {
		return nil, err
	}
	hits := make([]search.Hit, len(result.Hits))
	for i, h := range result.Hits {
		rank, _ := h.Fields[fieldRank].(float64)
		hits[i] = search.Hit{Key: h.ID, Rank: int64(math.Round(rank))}
		if data, _ := h.Fields[fieldData].(string); data != "" {
			hits[i].Data = json.RawMessage(data)
		}
	}
	return hits, nil
}

func queryOf(l search.Lookup) query.Query {
	q := bleve.NewBooleanQuery()
	q.AddMust(all(l.Words, l.Match))
	if l.Match > search.Exact {
		q.AddMustNot(all(l.Words, l.Match-1))
	}
	return q
}

func all(words []string, match search.Match) query.Query {
	each := make([]query.Query, len(words))
	for i, w := range words {
		each[i] = one(w, match)
	}
	return bleve.NewConjunctionQuery(each...)
}

func one(word string, match search.Match) query.Query {
	if match == search.Exact {
		q := bleve.NewTermQuery(word)
		q.SetField(fieldWords)
		return q
	}
	prefix := bleve.NewPrefixQuery(word)
	prefix.SetField(fieldWords)
	edits := search.Edits(word)
	if match == search.Prefix || edits == 0 {
		return prefix
	}
	typo := bleve.NewFuzzyQuery(word)
	typo.SetField(fieldWords)
	typo.SetFuzziness(edits)
	return bleve.NewDisjunctionQuery(prefix, typo)
}

// remove closes the index and removes its files. nil has none.
func (g *generation) remove() error {
	if g == nil {
		return nil
	}
	if err := g.bleve.Close(); err != nil {
		return fmt.Errorf("close a search index: %w", err)
	}
	if err := os.RemoveAll(g.path); err != nil {
		return fmt.Errorf("remove a search index: %w", err)
	}
	return nil
}
