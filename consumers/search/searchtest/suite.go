// Package searchtest is the suite that every engine of package search must pass: the same
// queries with the same results, on the same documents.
package searchtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/infra/eventually"
)

// Run runs the suite. open returns an index without documents.
func Run(t *testing.T, open func(*testing.T) search.Index) {
	for _, c := range []struct {
		name string
		run  func(*suite)
	}{
		{"queries", (*suite).queries}, {"pages", (*suite).pages}, {"versions", (*suite).versions},
		{"building", (*suite).building}, {"random", (*suite).random},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(&suite{T: t, index: open(t)}) })
	}
}

type suite struct {
	*testing.T
	index search.Index
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// Document is one of a text, with the text to show.
func Document(key, text string, rank, version int64) search.Document {
	data, _ := json.Marshal(map[string]string{"text": text})
	return search.Document{Key: key, Version: version, Words: search.Words(text), Rank: rank, Data: data}
}

// use builds an index of the documents.
func (s *suite) use(documents ...search.Document) {
	s.Helper()
	b, err := s.index.Build(s.Context())
	s.must(err)
	s.must(b.Write(s.Context(), documents))
	s.must(b.Use(s.Context()))
	s.must(b.Drop(s.Context())) // does nothing any more
}

// await waits until the documents are found as they are, by words of theirs.
func (s *suite) await(documents []search.Document) {
	s.Helper()
	for _, d := range documents {
		eventually.True(s, fmt.Sprintf("%s is found as %v, %d", d.Key, d.Words, d.Rank), func() bool {
			if len(d.Words) == 0 {
				return true
			}
			answers, err := s.index.Find(s.Context(), []search.Lookup{{
				Words: d.Words[:min(len(d.Words), search.MaxQueryWords)], Match: search.Exact,
				After: search.Place{Rank: d.Rank}, Limit: 1000,
			}})
			return err == nil && slices.ContainsFunc(answers[0], func(h search.Hit) bool { return h.Key == d.Key && h.Rank == d.Rank })
		})
	}
}

// find returns the keys of all pages.
func (s *suite) find(text string, limit int) (keys []string) {
	s.Helper()
	for after := ""; ; {
		page, err := search.Searcher{Index: s.index}.Search(s.Context(), text, after, limit)
		s.must(err)
		for _, h := range page.Hits {
			keys = append(keys, h.Key)
		}
		if after = page.Next; after == "" {
			return keys
		}
		if len(page.Hits) != limit {
			s.Fatalf("a page of %d hits, want %d, has a next one", len(page.Hits), limit)
		}
	}
}

func (s *suite) queries() {
	texts := []struct {
		key, text string
		rank      int64
	}{
		{"ada", "Ada Lovelace", 1000}, {"adam", "Adam Smith", 9000}, {"adele", "Adèle Haenel", 8001}, {"none", "", 9},
		{"bjork", "Björk Guðmundsdóttir", 500}, {"soren", "Søren Kierkegaard", 40}, {"strasse", "Hans Straße", 3},
		{"jon", "Jon", 5}, {"john", "John", 100}, {"jonathan", "Jonathan Swift", 30}, {"jonas", "Jonas", 50},
		{"brien", "Conan O'Brien", 70}, {"curly", "Flann O’Brien", 60}, {"astro", "👩‍🚀 Sally", 11}, {"rocket", "rocket 🚀", 12},
		{"wave", "Wave 👋🏽", 2}, {"tokyo", "東京 太郎", 4}, {"upper", "GRACE HOPPER", 77}, {"greek", "Σίσυφος", 6},
		{"hindi", "हिन्दी", 1}, {"wide", "Ｗｉｄｅ", 1}, {"long", strings.Repeat("x", 40), 1}, {"quote", `a"b\c {d} *e? f:g -h ~i`, 1},
		{"two", "Smith Adam", 9000},
	}
	var all []search.Document
	for _, x := range texts {
		all = append(all, Document(x.key, x.text, x.rank, 1))
	}
	s.use(all...)
	for query, want := range map[string]string{
		"ada":                   "adam two ada", // exact ada, of 8,008, behind 9,001; 8,001 is a typo of nothing here
		"ADA  lovelace":         "ada",
		"love":                  "ada",
		"lovelcae":              "ada", // exchanged
		"lovelac":               "ada",
		"lvelacee":              "ada", // two
		"lvelaceee":             "",    // three
		"smith adam":            "adam two",
		"smith jonathan":        "",
		"sm ad":                 "adam two",
		"adele":                 "adele",
		"ADÈLE":                 "adele",
		"bjork gudmundsdottir":  "bjork",
		"soren":                 "soren",
		"SØREN":                 "soren",
		"strasse":               "strasse",
		"jon":                   "jonas jon jonathan john", // 8 * 6 is between; a typo is behind
		"jhon":                  "john jon",
		"o'brien":               "brien curly",
		"obrien":                "brien curly",
		"🚀":                     "rocket astro",
		"👩":                     "astro",
		"👋":                     "wave",
		"東京":                    "tokyo",
		"京":                     "tokyo",
		"grace hopper":          "upper",
		"ΣΊΣΥΦΟΣ":               "greek",
		"हिन":                   "hindi",
		"wide":                  "wide",
		strings.Repeat("x", 50): "long",
		"":                      "",
		" !?-* ":                "",
		"nobody":                "",
		"jo*":                   "john jonas jonathan jon",
		`a"b\c`:                 "quote",
		`{"match_all":{}}`:      "",
		"d e f g h i a b":       "quote",
		"x":                     "long",
		"ad smith lovelace":     "",
		"adaa":                  "adam two ada",
		"zz":                    "",
	} {
		for _, limit := range []int{1, 2, 20} {
			if got := strings.Join(s.find(query, limit), " "); got != want {
				s.Errorf("%q in pages of %d: %q, want %q", query, limit, got, want)
			}
		}
	}
	page, err := search.Searcher{Index: s.index}.Search(s.Context(), "ada lovelace", "", 0)
	s.must(err)
	if len(page.Hits) != 1 || page.Hits[0].Rank != 1000 || string(page.Hits[0].Data) != `{"text":"Ada Lovelace"}` {
		s.Errorf("the hit does not show what was indexed: %+v", page.Hits)
	}
}

func (s *suite) pages() {
	var all []search.Document
	for i := range 250 {
		all = append(all, Document(fmt.Sprintf("k%03d", i), []string{"tree", "treetop"}[i%2], []int64{0, 1, 7, search.MaxRank}[i%4], 1))
	}
	s.use(all...)
	if got := s.find("tree", 7); len(got) != 250 || len(slices.Compact(slices.Sorted(slices.Values(got)))) != 250 {
		s.Errorf("%d hits in all pages, want 250, each once", len(got))
	}
	one, err := search.Searcher{Index: s.index}.Search(s.Context(), "tree", "", 3)
	s.must(err)
	for name, c := range map[string]struct {
		text, after string
		limit       int
		want        error
	}{
		"another query": {"treetop", one.Next, 3, search.ErrCursor}, "no cursor": {"tree", "x", 3, search.ErrCursor},
		"a long cursor": {"tree", strings.Repeat("x", 1<<20), 3, search.ErrCursor},
		"a long query":  {strings.Repeat("é", search.MaxQuery+1), "", 3, search.ErrQuery},
		"many words":    {"a b c d e f g h i", "", 3, search.ErrQuery},
		"a high limit":  {"tree", "", search.MaxLimit + 1, search.ErrQuery}, "a negative limit": {"tree", "", -1, search.ErrQuery},
	} {
		if _, err := (search.Searcher{Index: s.index}).Search(s.Context(), c.text, c.after, c.limit); !errors.Is(err, c.want) {
			s.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

// versions writes what is late and what comes twice.
func (s *suite) versions() {
	s.use(Document("a", "first", 1, 5))
	for n, step := range []struct {
		what  string
		write search.Document
		found string
		of    string
	}{
		{"twice", Document("a", "first", 1, 5), "a", "first"},
		{"late", Document("a", "late", 1, 4), "", "late"},
		{"newer", Document("a", "second", 1, 7), "a", "second"},
		{"gone", search.Document{Key: "a", Version: 8}, "", "second"},
		{"late, once it is gone", Document("a", "third", 1, 6), "", "third"},
		{"made anew", Document("a", "fourth", 1, 1<<53+2), "a", "fourth"},
		{"a version that is no float64", Document("a", "fifth", 1, 1<<53+3), "a", "fifth"},
	} {
		marker := Document(fmt.Sprint("marker", n), fmt.Sprint("marker", n), 2, 1) // what was written with it is found
		s.must(s.index.Write(s.Context(), []search.Document{step.write, marker}))
		s.await([]search.Document{marker})
		if got := strings.Join(s.find(step.of, 5), " "); got != step.found {
			s.Errorf("%s: %q finds %q, want %q", step.what, step.of, got, step.found)
		}
	}
}

// building writes while an index is built, and searches the old one.
func (s *suite) building() {
	s.use(Document("old", "oak", 1, 1))
	b, err := s.index.Build(s.Context())
	s.must(err)
	s.must(b.Write(s.Context(), []search.Document{Document("new", "elm", 1, 1), Document("both", "elm", 1, 1)}))
	live := []search.Document{Document("both", "ash", 1, 2)}
	s.must(s.index.Write(s.Context(), live))
	s.await(live)
	s.must(b.Write(s.Context(), []search.Document{Document("both", "elm", 1, 1)})) // the scan is late
	if got := fmt.Sprint(s.find("oak", 9), s.find("elm", 9), s.find("ash", 9)); got != "[old] [] [both]" {
		s.Errorf("while the new one is built: %s", got)
	}
	s.must(b.Use(s.Context()))
	s.await(live)
	if got := fmt.Sprint(s.find("oak", 9), s.find("elm", 9), s.find("ash", 9)); got != "[] [new] [both]" {
		s.Errorf("in the new one: %s", got)
	}
	dropped, err := s.index.Build(s.Context())
	s.must(err)
	s.must(dropped.Write(s.Context(), []search.Document{Document("x", "fir", 1, 1)}))
	s.must(dropped.Drop(s.Context()))
	if err := dropped.Use(s.Context()); err == nil {
		s.Error("an index that was dropped is used")
	}
	if got := fmt.Sprint(s.find("elm", 9), s.find("fir", 9)); got != "[new] []" {
		s.Errorf("after one was dropped: %s", got)
	}
}

// random compares with brute force, on words of few letters so that many are near each other.
func (s *suite) random() {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	word := func() string {
		letters := []rune("abcäß東🚀")
		w := make([]rune, 1+r.IntN(7))
		for i := range w {
			w[i] = letters[r.IntN(len(letters))]
		}
		return string(w)
	}
	want := Brute{}
	b, err := s.index.Build(s.Context())
	s.must(err)
	for range 60 {
		d := Document(fmt.Sprint("k", r.IntN(40)), word()+" "+word(), r.Int64N(20), 1+r.Int64N(1000))
		if r.IntN(5) == 0 {
			d.Words, d.Data = nil, nil
		}
		s.must(b.Write(s.Context(), []search.Document{d}))
		want.Write(d)
	}
	s.must(b.Use(s.Context()))
	for range 60 {
		query := word()
		if r.IntN(3) == 0 {
			query += " " + word()
		}
		if expected := want.Search(query); !slices.Equal(s.find(query, 1+r.IntN(30)), expected) {
			s.Errorf("seed %d: %q finds %v, want %v", seed, query, s.find(query, 100), expected)
		}
	}
}

// Brute is what an index must hold and find, by the simplest means.
type Brute map[string]search.Document

// Write keeps the newest.
func (b Brute) Write(d search.Document) {
	if d.Version > b[d.Key].Version {
		b[d.Key] = d
	}
}

// Search returns all keys, in order.
func (b Brute) Search(text string) []string {
	type scored struct {
		key   string
		typo  int
		score int64
	}
	var all []scored
	words := search.Words(text)
	for _, d := range b {
		for n, weight := range []int64{8, 1, 1} {
			if len(words) > 0 && matches(d.Words, words, search.Match(n)) {
				all = append(all, scored{d.Key, n / 2, (d.Rank + 1) * weight})
				break
			}
		}
	}
	slices.SortFunc(all, func(a, b scored) int {
		return cmp.Or(cmp.Compare(a.typo, b.typo), cmp.Compare(b.score, a.score), cmp.Compare(a.key, b.key))
	})
	var keys []string
	for _, x := range all {
		keys = append(keys, x.key)
	}
	return keys
}

func matches(words, query []string, match search.Match) bool {
	for _, q := range query {
		if !slices.ContainsFunc(words, func(w string) bool {
			return w == q || match >= search.Prefix && strings.HasPrefix(w, q) ||
				match == search.Typo && distance([]rune(w), []rune(q)) <= search.Edits(q)
		}) {
			return false
		}
	}
	return true
}

// distance is that of optimal string alignment.
func distance(a, b []rune) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := d[i-1][j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}

// Failing is an index that fails, for tests of what searches.
type Failing struct{ Err error }

// Find fails.
func (f Failing) Find(context.Context, []search.Lookup) ([][]search.Hit, error) { return nil, f.Err }
