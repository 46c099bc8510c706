package profile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/events"
)

// ErrNotFound is returned for a user that the model knows nothing of.
var ErrNotFound = errors.New("no such profile")

// ReaderClient is the part of the DynamoDB client that a Reader uses.
type ReaderClient interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
}

// Reader serves profiles, strongly consistent. Safe for concurrent use.
type Reader struct {
	client ReaderClient
	table  string
}

// NewReader reads a table that the model writes.
func NewReader(client ReaderClient, table string) *Reader { return &Reader{client, table} }

// Get reads a profile. One that others follow may be there before its
// user.joined, with an empty name.
func (r *Reader) Get(ctx context.Context, userID string) (Profile, error) {
	item, err := r.item(ctx, profileKey(userID))
	if err != nil {
		return Profile{}, fmt.Errorf("profile: read %s: %w", userID, err)
	}
	if len(item) == 0 {
		return Profile{}, fmt.Errorf("profile: read %s: %w", userID, ErrNotFound)
	}
	return decodeProfile(userID, item)
}

// Applied is the highest position applied for a user's own events; zero when
// there is none.
func (r *Reader) Applied(ctx context.Context, userID string) (events.Position, error) {
	item, err := r.item(ctx, once.WatermarkKey(userID))
	if err != nil {
		return events.Position{}, fmt.Errorf("profile: read the watermark of %s: %w", userID, err)
	}
	return once.Position(item)
}

func (r *Reader) item(ctx context.Context, k once.Key) (once.Attributes, error) {
	out, err := r.client.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: &r.table, Key: k.Attributes(), ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		return nil, err
	}
	return out.Item, nil
}

func decodeProfile(user string, item once.Attributes) (p Profile, err error) {
	p = Profile{UserID: user, Name: once.Text(item, attrName), Bio: once.Text(item, attrBio)}
	if joined := once.Text(item, attrJoined); joined != "" {
		if p.Joined, err = time.Parse(time.RFC3339Nano, joined); err != nil {
			return p, fmt.Errorf("profile of %s: attribute %s: %w", user, attrJoined, err)
		}
	}
	for _, counter := range []struct {
		name string
		into *int64
	}{{attrFollowers, &p.Followers}, {attrFollowing, &p.Following}, {attrPosts, &p.Posts}} {
		if *counter.into, err = once.Number(item, counter.name); err != nil {
			return p, fmt.Errorf("profile of %s: %w", user, err)
		}
	}
	return p, nil
}
