package search_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

func TestWords(t *testing.T) {
	for text, want := range map[string]string{
		"Ada Lovelace": "ada lovelace", "ADA ada": "ada", "Jean-Luc": "jean luc", "O'Brien O’Brien": "obrien",
		"Ångström": "angstrom", "a\u0301": "a", "Straße": "strasse", "Łódź Søren Æther": "lodz soren aether", "İstanbul ısı": "istanbul isi",
		"東京": "東 京", "がんばれ": "か ん は れ", "हिन्दी": "हिन्दी", "👩🏽‍🚀": "👩 🚀", "ok\xffbad": "ok bad", "½": "1 2", "": "", "...": "",
		"۱۲": "۱۲", strings.Repeat("y", 99): strings.Repeat("y", search.MaxWord),
	} {
		if got := strings.Join(search.Words(text), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("Ada O'Brien 👩‍🚀 Straße")
	f.Fuzz(func(t *testing.T, text string) {
		words := search.Words(text)
		if len(words) > search.MaxWords {
			t.Fatalf("%d words", len(words))
		}
		for i, w := range words {
			if n := len([]rune(w)); n < 1 || n > search.MaxWord || slices.Contains(words[:i], w) {
				t.Errorf("%q has the word %q", text, w)
			}
		}
	})
}

func TestFields(t *testing.T) {
	item := func(change func(dynamo.Item)) dynamo.Item {
		i := dynamo.Key("doc#a", "d")
		i["rev"], i["name"], i["sales"] = dynamo.Int(3), dynamo.String("Ada"), dynamo.Int(7)
		i["tags"] = &types.AttributeValueMemberSS{Value: []string{"Countess", "Poet"}}
		change(i)
		return i
	}
	fields := search.Fields{Prefix: "doc#", Sort: "d", Texts: []string{"name", "tags"}, Rank: "sales", Gone: "gone", Show: []string{"name"}}
	for name, c := range map[string]struct {
		change func(dynamo.Item)
		want   search.Document
		is     bool
		err    error
	}{
		"whole": {func(dynamo.Item) {},
			search.Document{Key: "a", Version: 3, Words: []string{"ada", "countess", "poet"}, Rank: 7, Data: []byte(`{"name":"Ada"}`)}, true, nil},
		"gone": {func(i dynamo.Item) { i["gone"] = dynamo.Bool(true) }, search.Document{Key: "a", Version: 3}, true, nil},
		"no text": {func(i dynamo.Item) { delete(i, "name"); delete(i, "tags"); delete(i, "sales") },
			search.Document{Key: "a", Version: 3, Data: []byte(`{}`)}, true, nil},
		"another sort key": {func(i dynamo.Item) { i["sk"] = dynamo.String("e") }, search.Document{}, false, nil},
		"another prefix":   {func(i dynamo.Item) { i["pk"] = dynamo.String("x#a") }, search.Document{}, false, nil},
		"no key":           {func(i dynamo.Item) { i["pk"] = dynamo.String("doc#") }, search.Document{}, false, nil},
		"a long key":       {func(i dynamo.Item) { i["pk"] = dynamo.String("doc#" + strings.Repeat("x", search.MaxKey+1)) }, search.Document{}, false, nil},
		"no version":       {func(i dynamo.Item) { delete(i, "rev") }, search.Document{Key: "a"}, false, search.ErrFields},
		"version 0":        {func(i dynamo.Item) { i["rev"] = dynamo.Int(0) }, search.Document{Key: "a"}, false, search.ErrFields},
		"half a rank": {func(i dynamo.Item) { i["sales"] = &types.AttributeValueMemberN{Value: "1.5"} },
			search.Document{Key: "a", Version: 3}, false, search.ErrFields},
		"a rank below 0": {func(i dynamo.Item) { i["sales"] = dynamo.Int(-1); delete(i, "tags") },
			search.Document{Key: "a", Version: 3, Words: []string{"ada"}, Data: []byte(`{"name":"Ada"}`)}, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, is, err := fields.Document(item(c.change))
			if is != c.is || !errors.Is(err, c.err) || got.Key != c.want.Key || got.Version != c.want.Version || got.Rank != c.want.Rank ||
				!slices.Equal(got.Words, c.want.Words) || string(got.Data) != string(c.want.Data) {
				t.Errorf("%+v, %t, %v", got, is, err)
			}
		})
	}
	if got, is, err := fields.Removed(item(func(dynamo.Item) {})); got.Version != 4 || got.Words != nil || !is || err != nil {
		t.Errorf("removed: %+v, %t, %v", got, is, err)
	}
	if err := (search.Fields{}).Validate(); err == nil {
		t.Error("fields without text are valid")
	}
}
