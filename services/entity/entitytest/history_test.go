package entitytest

import (
	"testing"
	"time"
)

// TestHistories: what can have happened passes, and what cannot does not.
func TestHistories(t *testing.T) {
	get := func(began, ended time.Duration, from string) operation {
		return operation{what: opGet, began: began, ended: ended, reads: true, from: from}
	}
	create := func(began, ended time.Duration, to string) operation {
		return operation{what: opCreate, began: began, ended: ended, reads: true, writes: true, to: to}
	}
	update := func(began, ended time.Duration, from, to string) operation {
		return operation{what: opUpdate, began: began, ended: ended, reads: true, from: from, writes: true, to: to}
	}
	remove := func(began, ended time.Duration, from string) operation {
		return operation{what: opDelete, began: began, ended: ended, reads: true, from: from, writes: true}
	}
	unknown := func(began time.Duration, to string) operation {
		return operation{what: opUpdate, began: began, ended: never, writes: true, to: to}
	}
	for name, c := range map[string]struct {
		ops  []operation
		want bool
	}{
		"none":                           {nil, true},
		"one after the other":            {[]operation{create(1, 2, "a"), get(3, 4, "a"), update(5, 6, "a", "b"), remove(7, 8, "b"), get(9, 10, "")}, true},
		"a lost update":                  {[]operation{create(1, 2, "a"), update(3, 6, "a", "b"), update(4, 5, "a", "c")}, false},
		"a stale read":                   {[]operation{create(1, 2, "a"), update(3, 4, "a", "b"), get(5, 6, "a")}, false},
		"a read of what is under way":    {[]operation{create(1, 2, "a"), update(3, 9, "a", "b"), get(4, 5, "b"), get(6, 7, "b")}, true},
		"and back again":                 {[]operation{create(1, 2, "a"), update(3, 9, "a", "b"), get(4, 5, "b"), get(6, 7, "a")}, false},
		"a lost document":                {[]operation{create(1, 2, "a"), get(3, 4, "")}, false},
		"one that is back":               {[]operation{create(1, 2, "a"), remove(3, 4, "a"), get(5, 6, "a")}, false},
		"two deletes at once":            {[]operation{create(1, 2, "a"), remove(3, 6, "a"), remove(4, 7, "a")}, true},
		"two creates at once":            {[]operation{create(1, 4, "a"), create(2, 3, "b")}, false},
		"an unknown write, seen":         {[]operation{create(1, 2, "a"), unknown(3, "b"), get(4, 5, "a"), get(6, 7, "b")}, true},
		"an unknown write, never seen":   {[]operation{create(1, 2, "a"), unknown(3, "b"), get(4, 5, "a"), get(6, 7, "a")}, true},
		"an unknown write, seen, undone": {[]operation{create(1, 2, "a"), unknown(3, "b"), get(4, 5, "b"), get(6, 7, "a")}, false},
		"a write that happened twice":    {[]operation{create(1, 2, "a"), update(3, 9, "a", "b"), update(4, 6, "b", "c"), get(10, 11, "b")}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := checkHistory(c.ops); (err == nil) != c.want {
				t.Error(err)
			}
		})
	}
}
