package timeline

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers/readmodel/internal/commit"
)

// DefaultTable is the name of the table where the environment gives none.
const DefaultTable = "banyan-timeline"

// TableInput is the definition of the table.
func TableInput(name string) *dynamodb.CreateTableInput {
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(name),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange},
		},
	}
}

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

type key = commit.Key

func nameKey(user string) key             { return commit.At(prefixUser+user, sortName) }
func floorKey(user string) key            { return commit.At(prefixUser+user, sortFloor) }
func postKey(author, post string) key     { return commit.At(prefixPosts+author, post) }
func edgeKey(follower, author string) key { return commit.At(prefixFollowers+author, follower) }
func entryKey(user, post string) key      { return commit.At(prefixTimeline+user, post) }
