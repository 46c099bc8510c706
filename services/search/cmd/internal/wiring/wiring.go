// Package wiring makes the parts of search from their settings, which the server and the
// functions have in common.
package wiring

import (
	"cmp"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/search/opensearch"
	"github.com/banyan-fig/banyan/infra/config"
	client "github.com/banyan-fig/banyan/infra/opensearch"
)

// Settings are flags of a command line, with variables that give them too.
type Settings struct {
	Table    string   `help:"DynamoDB table of the read model, with a stream of NEW_AND_OLD_IMAGES." env:"SEARCH_TABLE" required:""`
	Key      string   `help:"Attribute with the key of a document." default:"pk" env:"SEARCH_KEY"`
	Prefix   string   `help:"What the key of a document begins with; removed." env:"SEARCH_PREFIX"`
	Sort     string   `help:"Sort key (sk) of the items that are documents; by default all are." env:"SEARCH_SORT"`
	Text     []string `help:"Attributes that are searched." env:"SEARCH_TEXT" required:""`
	Rank     string   `help:"Attribute with the number by which matches are ranked." env:"SEARCH_RANK"`
	Revision string   `help:"Attribute with a number that grows with each change of the item." default:"rev" env:"SEARCH_REVISION"`
	Gone     string   `help:"Attribute that hides an item where it is true." env:"SEARCH_GONE"`
	Show     []string `help:"Attributes that are returned with a match." env:"SEARCH_SHOW"`
	Index    string   `help:"Name of the index in OpenSearch." default:"search" env:"SEARCH_INDEX"`
}

// FromEnvironment reads what has no command line. (With kong a function would be half as big again:
// what looks methods up by name keeps the linker from leaving any out.)
func FromEnvironment(getenv func(string) string) (Settings, error) {
	s := Settings{
		Table: getenv("SEARCH_TABLE"), Key: getenv("SEARCH_KEY"), Prefix: getenv("SEARCH_PREFIX"), Sort: getenv("SEARCH_SORT"),
		Rank: getenv("SEARCH_RANK"), Revision: getenv("SEARCH_REVISION"), Gone: getenv("SEARCH_GONE"),
		Index: cmp.Or(getenv("SEARCH_INDEX"), "search"),
	}
	for variable, list := range map[string]*[]string{"SEARCH_TEXT": &s.Text, "SEARCH_SHOW": &s.Show} {
		if text := getenv(variable); text != "" {
			*list = strings.Split(text, ",")
		}
	}
	if s.Table == "" || len(s.Text) == 0 {
		return s, errors.New("SEARCH_TABLE and SEARCH_TEXT must be set: the table of the read model, and its attributes that are searched")
	}
	return s, nil
}

// Fields are those of the documents.
func (s *Settings) Fields() search.Fields {
	return search.Fields{Key: s.Key, Prefix: s.Prefix, Sort: s.Sort, Texts: s.Text, Rank: s.Rank, Version: s.Revision, Gone: s.Gone, Show: s.Show}
}

// OpenSearch is the index in the OpenSearch of the environment. settings must live as long.
func (s *Settings) OpenSearch(settings *config.Settings, getenv func(string) string, sdk aws.Config) (*opensearch.Index, error) {
	c, err := client.FromEnvironment(settings, getenv, sdk)
	if err != nil {
		return nil, err
	}
	return opensearch.New(c, s.Index)
}
