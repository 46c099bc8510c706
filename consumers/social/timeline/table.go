package timeline

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DefaultTable is the name of the table where the environment gives none.
const DefaultTable = "banyan-timeline"

// TableInput is the definition of the table.
func TableInput(name string) *dynamodb.CreateTableInput { return dynamo.CompositeTable(name) }

const (
	attrAuthor    = "author"
	attrText      = "text"
	attrAt        = "at"
	attrFollowing = "following"
	attrFanned    = "fanned"
	attrName      = "name"
	attrVersion   = "version"
	attrPost      = "post"

	prefixUser      = "user#"
	prefixPosts     = "posts#"
	prefixFollowers = "followers#"
	prefixTimeline  = "timeline#"

	sortName      = "name"
	sortWatermark = "watermark"
	sortFloor     = "floor"
)

type key = once.Key

func nameKey(user string) key             { return once.At(prefixUser+user, sortName) }
func floorKey(user string) key            { return once.At(prefixUser+user, sortFloor) }
func postKey(author, post string) key     { return once.At(prefixPosts+author, post) }
func edgeKey(follower, author string) key { return once.At(prefixFollowers+author, follower) }
func entryKey(user, post string) key      { return once.At(prefixTimeline+user, post) }
