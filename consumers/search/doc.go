// Package search makes any read model searchable by its text, ranked by a number: users
// by name and followers, articles by title and sales.
//
// The documents are the items of a DynamoDB table that a read model keeps (see package
// once), guarded there against what comes twice or late. An index is a copy of them for
// finding, which can be thrown away and is built again from the table. [Fields] says which
// attributes are text, rank and version; no code is needed for a team's own table.
//
//	           +--> scan (build, beside what is served) --+
//	table -----+                                          +--> Index --> Searcher --> API
//	           +--> stream of the table (follow) ---------+
//
// Two engines implement [Index] and answer alike, which package searchtest holds them to:
// package embedded, bleve in a process of its own, and package opensearch. Package
// projection builds and follows.
//
// # Queries
//
// [Words] divides text into words, for documents and queries alike: without case, accents and
// punctuation; a sign of Chinese or Japanese and an emoji is a word of its own. A document is
// found if every word of the query
//
//   - is one of its words (exact), or begins one (prefix); or
//   - is a few letters from one of its words (typo): one letter more, less, other, or exchanged
//     with its neighbour, from 3 letters on, and two of these from 6 on.
//
// Exact and prefix matches come first, by rank, where an exact match counts as eight times its
// rank. Typos come behind them, by rank, and are looked for only where the page has room. Equal
// ranks are in the order of their keys. Scores of the engines take no part, since they
// depend on shards and deleted documents: the order is the same with both, at any time.
//
// # Caveats
//
//   - A page is of the moment when it is read: a document whose rank changes between two pages
//     may come twice or not at all.
//   - There are no phrases and no inner parts of words: "ovelace" finds Lovelace only as a typo.
//   - Versions must grow with each change of an item, for ever: a document that is deleted and
//     made again with version 1 is not found.
package search
