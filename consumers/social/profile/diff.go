package profile

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/banyan-fig/banyan/consumers/social/readmodel"
)

// Diff lists what got, a snapshot, tells otherwise than want, a fold, in the
// order of the users. A counter that is too low has lost effects, one that is
// too high has some twice; that a missing unfollow looks like a follow too many
// cannot be told from a counter. An older text or watermark is lost. A
// watermark ahead of the fold is no difference: the publisher may have put an
// event on the stream twice and know one position only.
func Diff(want, got State) []readmodel.Difference {
	var all []readmodel.Difference
	users := maps.Clone(got)
	maps.Copy(users, want)
	for _, user := range slices.Sorted(maps.Keys(users)) {
		all = append(all, diffUser(user, want[user], got[user])...)
	}
	return all
}

func diffUser(user string, want, got User) []readmodel.Difference {
	var all []readmodel.Difference
	add := func(kind readmodel.Kind, what, want, got string) {
		all = append(all, readmodel.Difference{Kind: kind, User: user, What: what, Want: want, Got: got})
	}
	if want.Name != got.Name {
		add(readmodel.Lost, "name", fmt.Sprintf("%q", want.Name), fmt.Sprintf("%q", got.Name))
	}
	if want.Bio != got.Bio {
		add(readmodel.Lost, "bio", fmt.Sprintf("%q", want.Bio), fmt.Sprintf("%q", got.Bio))
	}
	if !want.Joined.Equal(got.Joined) {
		add(readmodel.Lost, "joined", want.Joined.String(), got.Joined.String())
	}
	if got.Applied.Before(want.Applied) {
		add(readmodel.Lost, "watermark", want.Applied.String(), got.Applied.String())
	}
	for _, c := range []struct {
		what      string
		want, got int64
	}{
		{"followers", want.Followers, got.Followers},
		{"following", want.Following, got.Following},
		{"posts", want.Posts, got.Posts},
	} {
		if c.got < c.want {
			add(readmodel.Lost, c.what, strconv.FormatInt(c.want, 10), strconv.FormatInt(c.got, 10))
		} else if c.got > c.want {
			add(readmodel.Twice, c.what, strconv.FormatInt(c.want, 10), strconv.FormatInt(c.got, 10))
		}
	}
	return all
}
