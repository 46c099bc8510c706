package socialtest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/once"
	"github.com/banyan-fig/banyan/consumers/social/profile"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
	"github.com/banyan-fig/banyan/consumers/social/timeline"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Profiles are those of all users, by id.
type Profiles map[string]Profile

// Profile is one user's, with the watermark.
type Profile struct {
	profile.Profile
	Applied events.Position
}

// Timelines are those of all users, by id.
type Timelines map[string]Timeline

// Timeline is one user's.
type Timeline struct {
	Name    string
	Applied events.Position  // the watermark
	Entries []timeline.Entry // newest first, at most the cap
	// Floor is the newest post that the cap cut off, in a snapshot.
	Floor string
}

// Scanner is the part of the DynamoDB client that reads a whole table.
type Scanner interface {
	Scan(context.Context, *dynamodb.ScanInput, ...func(*dynamodb.Options)) (*dynamodb.ScanOutput, error)
}

// scan calls add with every item. What is written meanwhile may be among them or not.
func scan(ctx context.Context, client Scanner, table string, add func(pk, sk string, item dynamo.Item) error) error {
	pages := dynamodb.NewScanPaginator(client, &dynamodb.ScanInput{TableName: &table, ConsistentRead: aws.Bool(true)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("read all of %s: %w", table, err)
		}
		for _, item := range page.Items {
			if err := add(dynamo.StringOf(item, dynamo.AttrPK), dynamo.StringOf(item, dynamo.AttrSK), item); err != nil {
				return fmt.Errorf("read all of %s: %w", table, err)
			}
		}
	}
	return nil
}

// SnapshotProfiles reads the table of package profile.
func SnapshotProfiles(ctx context.Context, client Scanner, table string) (Profiles, error) {
	all := Profiles{}
	err := scan(ctx, client, table, func(pk, sk string, item dynamo.Item) (err error) {
		user := strings.TrimPrefix(pk, readmodel.PrefixUser)
		p := all[user]
		p.UserID = user
		switch sk {
		case "profile":
			p.Profile, err = profile.Decode(item)
		case "watermark":
			p.Applied, err = once.PositionOf(item)
		}
		all[user] = p
		return err
	})
	return all, err
}

// SnapshotTimelines reads the table of package timeline, whose model has the cap limit;
// 0: [timeline.DefaultCap]. It shows what the reader does: the posts of celebrities, no
// post that was deleted, and nobody who left.
func SnapshotTimelines(ctx context.Context, client Scanner, table string, limit int) (Timelines, error) {
	s := timelineScan{all: Timelines{}, posts: map[string]map[string]timeline.Entry{}, shows: map[string]map[timelinePost]bool{},
		celebrities: map[string][]string{}, left: map[string]bool{}}
	err := scan(ctx, client, table, s.add)
	for user, authors := range s.celebrities {
		slices.Sort(authors)
		for _, author := range authors[:min(len(authors), timeline.MaxCelebrities)] {
			for post := range s.posts[author] {
				s.show(user, timelinePost{author, post})
			}
		}
	}
	for user, posts := range s.shows {
		t := s.all[user]
		for p := range posts {
			if post, ok := s.posts[p.author][p.post]; ok && !s.left[p.author] && !s.left[user] {
				t.Entries = append(t.Entries, post)
			}
		}
		t.Entries = newestFirst(t.Entries, limit)
		s.all[user] = t
	}
	return s.all, err
}

type timelinePost struct{ author, post string }

type timelineScan struct {
	all         Timelines
	posts       map[string]map[string]timeline.Entry // by author and id
	shows       map[string]map[timelinePost]bool     // by user
	celebrities map[string][]string                  // whom a user follows
	left        map[string]bool
}

func (s *timelineScan) show(user string, p timelinePost) {
	if s.shows[user] == nil {
		s.shows[user] = map[timelinePost]bool{}
	}
	s.shows[user][p] = true
}

func (s *timelineScan) add(pk, sk string, item dynamo.Item) (err error) {
	kind, user, _ := strings.Cut(pk, "#")
	switch kind {
	case "posts":
		post, ok, err := timeline.DecodePost(item)
		if s.posts[user] == nil {
			s.posts[user] = map[string]timeline.Entry{}
		}
		if ok {
			s.posts[user][sk] = post
		}
		return err
	case "timeline":
		s.show(user, timelinePost{dynamo.StringOf(item, "author"), sk})
	case "user":
		return s.addOfUser(user, sk, item)
	}
	return nil // edges: how the rest came about
}

func (s *timelineScan) addOfUser(user, sk string, item dynamo.Item) (err error) {
	t := s.all[user]
	switch sk {
	case "name":
		t.Name, s.left[user] = dynamo.StringOf(item, "name"), dynamo.BoolOf(item, "left")
	case "floor":
		t.Floor = dynamo.StringOf(item, "post")
	case "watermark":
		t.Applied, err = once.PositionOf(item)
	}
	if author, ok := strings.CutPrefix(sk, "~"); ok {
		s.celebrities[user] = append(s.celebrities[user], author)
	}
	s.all[user] = t
	return err
}
