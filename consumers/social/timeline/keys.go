package timeline

import (
	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
)

const (
	attrAuthor    = "author"
	attrText      = "text"
	attrAt        = "at"
	attrFollowing = "following"
	attrFanned    = "fanned"
	attrCount     = "count"
	attrName      = "name"
	attrPost      = "post"
	attrLeft      = "left"
	attrDeleted   = "deleted"
	attrMany      = "many"
	attrMarked    = "marked"
	attrDone      = "done"

	prefixPosts     = "posts#"
	prefixFollowers = "followers#"
	prefixTimeline  = "timeline#"

	// prefixDeleted begins the attributes of a card that name deleted posts.
	prefixDeleted = "deleted#"

	// prefixMark sorts behind the other items of a user.
	prefixMark = "~"
	skName     = "name"
)

func nameKey(user string) once.Key  { return once.KeyOf(readmodel.PrefixUser+user, skName) }
func floorKey(user string) once.Key { return once.KeyOf(readmodel.PrefixUser+user, "floor") }
func celebrityKey(author string) once.Key {
	return once.KeyOf(readmodel.PrefixUser+author, "celebrity")
}
func markKey(user, author string) once.Key {
	return once.KeyOf(readmodel.PrefixUser+user, prefixMark+author)
}
func postKey(author, post string) once.Key     { return once.KeyOf(prefixPosts+author, post) }
func edgeKey(follower, author string) once.Key { return once.KeyOf(prefixFollowers+author, follower) }
func entryKey(user, post string) once.Key      { return once.KeyOf(prefixTimeline+user, post) }
