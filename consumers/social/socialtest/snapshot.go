package socialtest

import (
	"context"
	"fmt"
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
// 0: [timeline.DefaultCap]. It shows what the reader does: no post that was deleted, and
// nobody who left.
func SnapshotTimelines(ctx context.Context, client Scanner, table string, limit int) (Timelines, error) {
	s := timelineScan{all: Timelines{}, posts: map[[2]string]timeline.Entry{}, entries: map[string][][2]string{}, left: map[string]bool{}}
	err := scan(ctx, client, table, s.add)
	for user, entries := range s.entries {
		t := s.all[user]
		for _, e := range entries {
			if post, ok := s.posts[e]; ok && !s.left[e[0]] && !s.left[user] {
				t.Entries = append(t.Entries, post)
			}
		}
		t.Entries = newestFirst(t.Entries, limit)
		s.all[user] = t
	}
	return s.all, err
}

type timelineScan struct {
	all     Timelines
	posts   map[[2]string]timeline.Entry // by author and id
	entries map[string][][2]string       // author and id, by user
	left    map[string]bool
}

func (s *timelineScan) add(pk, sk string, item dynamo.Item) (err error) {
	kind, user, _ := strings.Cut(pk, "#")
	switch kind {
	case "posts":
		post, ok, err := timeline.DecodePost(item)
		if ok {
			s.posts[[2]string{user, sk}] = post
		}
		return err
	case "timeline":
		s.entries[user] = append(s.entries[user], [2]string{dynamo.StringOf(item, "author"), sk})
	case "user":
		t := s.all[user]
		switch sk {
		case "name":
			t.Name, s.left[user] = dynamo.StringOf(item, "name"), dynamo.BoolOf(item, "left")
		case "floor":
			t.Floor = dynamo.StringOf(item, "post")
		case "watermark":
			t.Applied, err = once.PositionOf(item)
		}
		s.all[user] = t
	}
	return err // edges: how the rest came about
}
