package outbox_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/publishers/outbox"
)

// A document is cleaned up once, unless that would remove an event before an earlier one
// of its key.
func TestTheOrderOfTheCleanUp(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		entries [][4]string
		want    [][]string
	}{
		"each key has a document": {
			[][4]string{{"c", "a", "k", "0"}, {"c", "b", "l", "0'"}, {"c", "a", "k", "1"}, {"c", "b", "l", "1'"}},
			[][]string{{"c", "a", "0", "1"}, {"c", "b", "0'", "1'"}},
		},
		"one key in two documents": {
			[][4]string{{"c", "a", "k", "0"}, {"c", "b", "k", "1"}, {"c", "a", "k", "2"}, {"c", "b", "k", "3"}, {"c", "b", "k", "4"}},
			[][]string{{"c", "a", "0"}, {"c", "b", "1"}, {"c", "a", "2"}, {"c", "b", "3", "4"}},
		},
		"two keys in two documents": {
			[][4]string{{"c", "a", "k", "0"}, {"c", "b", "l", "0'"}, {"c", "a", "k", "1"}, {"c", "b", "l", "1'"}, {"c", "b", "k", "2"}, {"c", "a", "k", "3"}},
			[][]string{{"c", "a", "0", "1"}, {"c", "b", "0'", "1'", "2"}, {"c", "a", "3"}},
		},
		"two keys in two collections": {
			[][4]string{{"c", "a", "k", "0"}, {"d", "b", "l", "0'"}, {"d", "b", "k", "1"}, {"c", "a", "l", "1'"}, {"c", "a", "k", "2"}},
			[][]string{{"c", "a", "0"}, {"d", "b", "0'", "1"}, {"c", "a", "1'", "2"}},
		},
	} {
		if diff := cmp.Diff(tc.want, outbox.CleanUps(tc.entries...)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
