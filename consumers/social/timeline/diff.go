package timeline

import (
	"fmt"
	"maps"
	"slices"

	"github.com/banyan-fig/banyan/consumers/social/readmodel"
)

// Diff lists what got, a snapshot, tells otherwise than want, a fold, in the
// order of the users. A missing entry, an older name or watermark is lost; an
// entry that should not be there was applied twice or from a stale delivery. A
// watermark ahead of the fold is no difference: the publisher may have put an
// event on the stream twice and know one position only. Entries at or below the
// floor are left out.
func Diff(want, got State) []readmodel.Difference {
	var all []readmodel.Difference
	users := maps.Clone(got)
	maps.Copy(users, want)
	for _, user := range slices.Sorted(maps.Keys(users)) {
		all = append(all, diffUser(user, want[user], got[user])...)
	}
	return all
}

func diffUser(user string, want, got Timeline) []readmodel.Difference {
	var all []readmodel.Difference
	add := func(kind readmodel.Kind, what, want, got string) {
		all = append(all, readmodel.Difference{Kind: kind, User: user, What: what, Want: want, Got: got})
	}
	if want.Name != got.Name {
		add(readmodel.Lost, "name", fmt.Sprintf("%q", want.Name), fmt.Sprintf("%q", got.Name))
	}
	if got.Applied.Before(want.Applied) {
		add(readmodel.Lost, "watermark", want.Applied.String(), got.Applied.String())
	}
	wanted, found := above(got.Floor, want.Entries), above(got.Floor, got.Entries)
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		e, ok := found[id]
		if !ok {
			add(readmodel.Lost, "post "+id, "there", "absent")
		} else if !e.Equal(wanted[id]) {
			add(readmodel.Lost, "post "+id, fmt.Sprintf("%+v", wanted[id]), fmt.Sprintf("%+v", e))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if _, ok := wanted[id]; !ok {
			add(readmodel.Twice, "post "+id, "absent", "there")
		}
	}
	return all
}

func above(floor string, entries []Entry) map[string]Entry {
	m := make(map[string]Entry, len(entries))
	for _, e := range entries {
		if e.PostID > floor {
			m[e.PostID] = e
		}
	}
	return m
}
