package opensearch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/infra/opensearch"
)

type object = map[string]any

// answer is what a search returns.
type answer struct {
	Status int
	Error  struct{ Type, Reason string }
	Hits   struct {
		Hits []struct {
			Source document `json:"_source"`
		}
	}
}

// Find implements [search.Finder], in one request. It fails with search.ErrNotBuilt where
// there is no index, and where a shard does not answer, rather than with a part of the hits.
func (i *Index) Find(ctx context.Context, lookups []search.Lookup) ([][]search.Hit, error) {
	var body bytes.Buffer
	lines := json.NewEncoder(&body)
	for _, l := range lookups {
		for _, line := range []object{{"index": i.name, "allow_partial_search_results": false}, request(l)} {
			if err := lines.Encode(line); err != nil {
				return nil, fmt.Errorf("encode a search of %s: %w", i.name, err)
			}
		}
	}
	var all struct{ Responses []answer }
	if err := i.client.Do(ctx, http.MethodPost, "/_msearch", opensearch.Lines, body.Bytes(), &all); err != nil {
		return nil, fmt.Errorf("search %s: %w", i.name, err)
	}
	if len(all.Responses) != len(lookups) {
		return nil, fmt.Errorf("search %s: %w: %d searches of %d", i.name, opensearch.ErrAnswer, len(all.Responses), len(lookups))
	}
	found := make([][]search.Hit, len(lookups))
	for n, a := range all.Responses {
		switch {
		case a.Status == http.StatusNotFound && a.Error.Type == "index_not_found_exception":
			return nil, fmt.Errorf("search %s: %w", i.name, search.ErrNotBuilt)
		case a.Status != http.StatusOK:
			return nil, fmt.Errorf("search %s: status %d: %s: %s", i.name, a.Status, a.Error.Type, a.Error.Reason)
		}
		for _, h := range a.Hits.Hits {
			found[n] = append(found[n], search.Hit{Key: h.Source.Key, Rank: h.Source.Rank, Data: h.Source.Data})
		}
	}
	return found, nil
}

func request(l search.Lookup) object {
	match := object{"filter": all(l.Words, l.Match)}
	if l.Match > search.Exact {
		match["must_not"] = object{"bool": object{"filter": all(l.Words, l.Match-1)}}
	}
	return object{
		"query": object{"bool": match}, "size": l.Limit, "track_total_hits": false, "_source": []string{"key", "rank", "data"},
		"sort": []object{{"rank": "desc"}, {"key": "asc"}}, "search_after": []any{l.After.Rank, l.After.Key},
	}
}

func all(words []string, match search.Match) []object {
	each := make([]object, len(words))
	for i, w := range words {
		each[i] = one(w, match)
	}
	return each
}

func one(word string, match search.Match) object {
	if match == search.Exact {
		return object{"term": object{"words": word}}
	}
	prefix := object{"prefix": object{"words": word}}
	edits := search.Edits(word)
	if match == search.Prefix || edits == 0 {
		return prefix
	}
	// Rewritten so, it has all terms in reach; by default 50 of them.
	typo := object{"fuzzy": object{"words": object{"value": word, "fuzziness": edits, "rewrite": "constant_score"}}}
	return object{"bool": object{"should": []object{prefix, typo}, "minimum_should_match": 1}}
}
