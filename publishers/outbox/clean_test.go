package outbox_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/banyan-fig/banyan/publishers/outbox"
)

// A document is asked once, unless that would take out an event of a sweep before an
// earlier one of its key.
func TestTheOrderOfTheCleanUp(t *testing.T) {
	t.Parallel()
	oneKey := [][3]string{{"a", "k", "0"}, {"b", "k", "1"}, {"a", "k", "2"}, {"b", "k", "3"}, {"b", "k", "4"}}
	twoKeys := [][3]string{{"a", "k", "0"}, {"b", "l", "0'"}, {"a", "k", "1"}, {"b", "l", "1'"}, {"b", "k", "2"}, {"a", "k", "3"}}
	for name, tc := range map[string]struct {
		swept   bool
		entries [][3]string
		want    [][]string
	}{
		"what the stream published": {false, oneKey, [][]string{{"a", "0", "2"}, {"b", "1", "3", "4"}}},
		"one key that was swept":    {true, oneKey, [][]string{{"a", "0"}, {"b", "1"}, {"a", "2"}, {"b", "3", "4"}}},
		"two keys, swept":           {true, twoKeys, [][]string{{"a", "0", "1"}, {"b", "0'", "1'", "2"}, {"a", "3"}}},
	} {
		if diff := cmp.Diff(tc.want, outbox.Leftovers(tc.swept, tc.entries...)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
