// Package opensearch is the search index in OpenSearch, or Elasticsearch from 7 on: for
// functions, and for more processes than may have an index of their own.
//
// # Names
//
// For an index called users:
//
//	users-<hex>      the indexes of OpenSearch: the one that is searched, and one being built
//	users-w-<hex>    an alias of each, by which it is written; requests demand the alias, so
//	                 that a late write does not make an index that was removed anew
//	users            the alias of the one that is searched
//
// Shards and replicas are the cluster's default, or those of an index template of yours for
// users-*. The user needs the rights to create, delete, read and write users-*, and
// to change aliases.
//
// # What is late
//
// Each write has the document's version as its external version, and a document that is gone
// stays as one without words. (OpenSearch itself forgets the version of a deleted document
// after a minute, index.gc_deletes.) So writes may come twice, late and in any order. A write
// goes to every index that has its alias when it asks, which is before it sends: one that
// missed an index being built carries what the table had before the scan began.
package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/infra/opensearch"
)

// Index implements [search.Index]. Safe for concurrent use.
type Index struct {
	client *opensearch.Client
	name   string
}

var validName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,99}$`)

// New makes an index with a name: small letters, digits and _, a letter first.
func New(client *opensearch.Client, name string) (*Index, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("invalid name of a search index %q: must be up to 100 small letters, digits and _, with a letter first", name)
	}
	return &Index{client, name}, nil
}

// Limits of one request to _bulk.
const (
	maxItems = 1000
	maxBytes = 5 << 20
)

// document is what OpenSearch holds. Its members are those of the mapping.
type document struct {
	Key   string          `json:"key"`
	Words []string        `json:"words,omitempty"`
	Rank  int64           `json:"rank"`
	Data  json.RawMessage `json:"data,omitempty"`
}

// Write implements [search.Index]. Where no index was ever built it does nothing.
func (i *Index) Write(ctx context.Context, documents []search.Document) error {
	aliases, err := i.writers(ctx)
	if err != nil {
		return err
	}
	for _, alias := range aliases {
		if err := i.writeTo(ctx, alias, documents, true); err != nil {
			return err
		}
	}
	return nil
}

// writers are the aliases to write to, by index.
func (i *Index) writers(ctx context.Context) (map[string]string, error) {
	return i.indexesOf(ctx, i.name+"-w-*")
}

// indexesOf returns an alias of each index that has one of this pattern.
func (i *Index) indexesOf(ctx context.Context, pattern string) (map[string]string, error) {
	var answer map[string]struct{ Aliases map[string]struct{} }
	err := i.client.Do(ctx, http.MethodGet, "/_alias/"+url.PathEscape(pattern), opensearch.JSON, nil, &answer)
	if e, ok := errors.AsType[*opensearch.Error](err); ok && e.Status == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the indexes of %s: %w", i.name, err)
	}
	all := map[string]string{}
	for index, has := range answer {
		for alias := range has.Aliases {
			all[index] = alias
		}
	}
	return all, nil
}

// writeTo writes to an index by its alias. mayBeGone says that it is no error if that was removed.
func (i *Index) writeTo(ctx context.Context, alias string, documents []search.Document, mayBeGone bool) error {
	var items []opensearch.Item
	size := 0
	for n, d := range documents {
		body, err := json.Marshal(document{d.Key, d.Words, d.Rank, d.Data})
		if err != nil {
			return fmt.Errorf("encode %q for %s: %w", d.Key, alias, err)
		}
		items = append(items, opensearch.Item{Index: alias, ID: d.Key, Body: body, Version: d.Version, Alias: true})
		if size += items[len(items)-1].Size(); n < len(documents)-1 && len(items) < maxItems && size < maxBytes {
			continue
		}
		if err := i.send(ctx, alias, items, mayBeGone); err != nil {
			return err
		}
		items, size = nil, 0
	}
	return nil
}

func (i *Index) send(ctx context.Context, alias string, items []opensearch.Item, mayBeGone bool) error {
	statuses, err := i.client.Bulk(ctx, items)
	if err != nil {
		return fmt.Errorf("write %d documents to %s: %w", len(items), alias, err)
	}
	for n, s := range statuses {
		switch {
		case s.Code < 300, s.Code == http.StatusConflict, s.Code == http.StatusNotFound && mayBeGone:
		default:
			return fmt.Errorf("write %q to %s: status %d: %s: %s", items[n].ID, alias, s.Code, s.Type, s.Reason)
		}
	}
	return nil
}

// Build implements [search.Index]. It removes an index that somebody else has begun to build: of
// two at a time the later one wins, and the other fails.
func (i *Index) Build(ctx context.Context) (search.Building, error) {
	begun, err := i.writers(ctx)
	if err != nil {
		return nil, err
	}
	served, err := i.indexesOf(ctx, i.name)
	if err != nil {
		return nil, err
	}
	for index := range begun {
		if _, is := served[index]; is {
			continue
		}
		if err := i.remove(ctx, index); err != nil {
			return nil, err
		}
	}
	id := strconv.FormatInt(time.Now().UnixNano(), 16)
	b := &building{i, i.name + "-" + id, i.name + "-w-" + id}
	if err := i.client.Do(ctx, http.MethodPut, "/"+b.index, opensearch.JSON, definition(b.alias), nil); err != nil {
		return nil, fmt.Errorf("create the index %s: %w", b.index, err)
	}
	return b, nil
}

func definition(alias string) []byte {
	type object = map[string]any
	text, err := json.Marshal(object{
		"aliases":  object{alias: object{}},
		"settings": object{"refresh_interval": "1s"}, // said, so that an idle index is refreshed as well
		"mappings": object{"dynamic": false, "properties": object{
			"key":   object{"type": "keyword"},
			"words": object{"type": "keyword", "doc_values": false},
			"rank":  object{"type": "long"},
			"data":  object{"type": "object", "enabled": false},
		}},
	})
	if err != nil {
		panic(err) // maps of texts always can be
	}
	return text
}

func (i *Index) remove(ctx context.Context, index string) error {
	err := i.client.Do(ctx, http.MethodDelete, "/"+index, opensearch.JSON, nil, nil)
	if e, ok := errors.AsType[*opensearch.Error](err); err != nil && (!ok || e.Status != http.StatusNotFound) {
		return fmt.Errorf("remove the index %s: %w", index, err)
	}
	return nil
}

// building implements [search.Building].
type building struct {
	of           *Index
	index, alias string
}

func (b *building) Write(ctx context.Context, documents []search.Document) error {
	return b.of.writeTo(ctx, b.alias, documents, false)
}

// Use replaces the index before it in one step.
func (b *building) Use(ctx context.Context) error {
	if err := b.of.client.Do(ctx, http.MethodPost, "/"+b.index+"/_refresh", opensearch.JSON, nil, nil); err != nil {
		return fmt.Errorf("refresh the index %s: %w", b.index, err)
	}
	old, err := b.of.indexesOf(ctx, b.of.name)
	if err != nil {
		return err
	}
	actions := []any{map[string]any{"add": map[string]string{"index": b.index, "alias": b.of.name}}}
	for index := range old {
		if index != b.index {
			actions = append(actions, map[string]any{"remove_index": map[string]string{"index": index}})
		}
	}
	body, err := json.Marshal(map[string]any{"actions": actions})
	if err != nil {
		return err
	}
	if err := b.of.client.Do(ctx, http.MethodPost, "/_aliases", opensearch.JSON, body, nil); err != nil {
		return fmt.Errorf("put the index %s in use: %w", b.index, err)
	}
	return nil
}

func (b *building) Drop(ctx context.Context) error {
	served, err := b.of.indexesOf(ctx, b.of.name)
	if err != nil {
		return err
	}
	if _, used := served[b.index]; used {
		return nil
	}
	return b.of.remove(ctx, b.index)
}
