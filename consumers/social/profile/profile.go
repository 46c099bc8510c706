package profile

import (
	"fmt"
	"strings"
	"time"

	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Profile is what others see of a user.
type Profile struct {
	UserID    string
	Left      bool // and nothing else is shown
	Name, Bio string
	Joined    time.Time // zero before the user.joined
	Followers int64
	Following int64
	Posts     int64
}

// Decode reads the item of a profile.
func Decode(item dynamo.Item) (p Profile, err error) {
	p.UserID = strings.TrimPrefix(dynamo.StringOf(item, dynamo.AttrPK), readmodel.PrefixUser)
	if p.Left = dynamo.BoolOf(item, attrLeft); p.Left {
		return p, nil
	}
	p.Name, p.Bio = dynamo.StringOf(item, attrName), dynamo.StringOf(item, attrBio)
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
