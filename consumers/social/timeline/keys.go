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
	attrName      = "name"
	attrPost      = "post"
	attrLeft      = "left"
	attrDeleted   = "deleted"

	prefixPosts     = "posts#"
	prefixFollowers = "followers#"
	prefixTimeline  = "timeline#"
)

func nameKey(user string) once.Key             { return once.KeyOf(readmodel.PrefixUser+user, "name") }
func floorKey(user string) once.Key            { return once.KeyOf(readmodel.PrefixUser+user, "floor") }
func postKey(author, post string) once.Key     { return once.KeyOf(prefixPosts+author, post) }
func edgeKey(follower, author string) once.Key { return once.KeyOf(prefixFollowers+author, follower) }
func entryKey(user, post string) once.Key      { return once.KeyOf(prefixTimeline+user, post) }
