package profile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Profile is what others see of a user.
type Profile struct {
	UserID    string
	Name, Bio string
	Joined    time.Time // zero before the user.joined
	Followers int64
	Following int64
	Posts     int64
}

// ErrNotFound is returned for a user without a profile.
var ErrNotFound = errors.New("no such profile")

// Reader reads profiles, strongly consistent. Safe for concurrent use.
type Reader struct {
	client readmodel.ItemGetter
	table  string
}

// NewReader reads a table that the model writes.
func NewReader(client readmodel.ItemGetter, table string) *Reader { return &Reader{client, table} }

// Get reads a profile. That of somebody whom others follow may be there before their
// user.joined, with an empty name.
func (r *Reader) Get(ctx context.Context, userID string) (Profile, error) {
	item, err := readmodel.GetItem(ctx, r.client, r.table, profileKey(userID))
	if err == nil && len(item) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Profile{}, fmt.Errorf("profile: read %s: %w", userID, err)
	}
	return Decode(item)
}

// Applied returns the highest position applied for a user's own events; zero when there
// is none.
func (r *Reader) Applied(ctx context.Context, userID string) (events.Position, error) {
	return readmodel.Applied(ctx, r.client, r.table, userID)
}

// Decode reads the item of a profile.
func Decode(item dynamo.Item) (p Profile, err error) {
	p = Profile{
		UserID: strings.TrimPrefix(dynamo.StringOf(item, dynamo.AttrPK), readmodel.PrefixUser),
		Name:   dynamo.StringOf(item, attrName), Bio: dynamo.StringOf(item, attrBio),
	}
	if joined := dynamo.StringOf(item, attrJoined); joined != "" {
		if p.Joined, err = time.Parse(time.RFC3339Nano, joined); err != nil {
			return p, fmt.Errorf("profile of %s: attribute %s: %w", p.UserID, attrJoined, err)
		}
	}
	for name, counter := range map[string]*int64{attrFollowers: &p.Followers, attrFollowing: &p.Following, attrPosts: &p.Posts} {
		if *counter, err = dynamo.IntOf(item, name); err != nil {
			return p, fmt.Errorf("profile of %s: %w", p.UserID, err)
		}
	}
	return p, nil
}
