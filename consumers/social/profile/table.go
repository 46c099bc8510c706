package profile

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// DefaultTable is the name of the table where the environment gives none.
const DefaultTable = "banyan-profile"

// TableInput is the definition of the table.
func TableInput(name string) *dynamodb.CreateTableInput { return dynamo.CompositeTable(name) }

const (
	attrName      = "name"
	attrBio       = "bio"
	attrVersion   = "version"
	attrJoined    = "joined"
	attrFollowers = "followers"
	attrFollowing = "following"
	attrPosts     = "posts"

	prefixUser    = "user#"
	sortProfile   = "profile"
	sortWatermark = "watermark"
)

func profileKey(user string) once.Key { return once.At(prefixUser+user, sortProfile) }
func edgeKey(follower, author string) once.Key {
	return once.At(prefixUser+follower, "edge#"+author)
}
func postKey(author, post string) once.Key { return once.At(prefixUser+author, "post#"+post) }
