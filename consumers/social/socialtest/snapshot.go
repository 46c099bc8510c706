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
// 0: [timeline.DefaultCap].
func SnapshotTimelines(ctx context.Context, client Scanner, table string, limit int) (Timelines, error) {
	all := Timelines{}
	err := scan(ctx, client, table, all.add)
	for user, t := range all {
		t.Entries = newestFirst(t.Entries, limit)
		all[user] = t
	}
	return all, err
}

func (all Timelines) add(pk, sk string, item dynamo.Item) (err error) {
	kind, user, _ := strings.Cut(pk, "#")
	t := all[user]
	switch kind + " " + sk {
	case "user name":
		t.Name = dynamo.StringOf(item, "name")
	case "user floor":
		t.Floor = dynamo.StringOf(item, "post")
	case "user watermark":
		t.Applied, err = once.PositionOf(item)
	default:
		if kind != "timeline" {
			return nil // posts and edges: how the rest came about
		}
		var e timeline.Entry
		e, err = timeline.Decode(item)
		t.Entries = append(t.Entries, e)
	}
	all[user] = t
	return err
}
