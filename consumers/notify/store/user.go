package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

// MaxAddresses is how many addresses of a user are used: those registered last.
const MaxAddresses = 20

// Settings are what a user chose. The zero value is what a user has who chose nothing.
type Settings struct {
	// Locale of the texts, such as "de-AT"; "" is the template's default.
	Locale string `dynamodbav:"locale,omitempty"`
	// Zone is the time zone, such as "Europe/Vienna"; "" is the engine's.
	Zone string `dynamodbav:"zone,omitempty"`
	// Quiet are the quiet hours, as "22:00-07:00"; "off" for none, "" for the engine's.
	Quiet string `dynamodbav:"quiet,omitempty"`
	// OptOut are the templates and channels that the user does not want; "*" is all.
	OptOut []string `dynamodbav:"optout,omitempty"`
}

// User is what is known of a user.
type User struct {
	Settings  Settings
	Addresses []channel.Address // registered last first, at most MaxAddresses
	// used is the state of the rate limit, see [Limit].
	used int64
}

// The sort keys. [Store.User] reads those before skSent.
const (
	skAddress = "address#"
	skLimit   = "limit"
	skProfile = "profile"
	skSent    = "sent#"
	skToken   = "token"
)

// userItem is an item that [Store.User] reads; its sort key says which.
type userItem struct {
	SK string `dynamodbav:"sk"`
	addressItem
	Settings
	Used int64 `dynamodbav:"used"`
}

// User reads a user by one strongly consistent query. One of whom nothing is known has no
// addresses.
func (s *Store) User(ctx context.Context, user string) (User, error) {
	var out User
	if user == "" || len(user) > MaxUser {
		return out, fmt.Errorf("read user: the id must have 1 to %d bytes, not %d", MaxUser, len(user))
	}
	page, err := s.client.Query(ctx, &dynamodb.QueryInput{
		TableName: &s.table, ConsistentRead: aws.Bool(true),
		KeyConditionExpression:    aws.String("pk = :pk AND sk < :sent"),
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(userKey(user)), ":sent": dynamo.String(skSent)},
	})
	var items []userItem
	if err == nil {
		err = attributevalue.UnmarshalListOfMaps(page.Items, &items)
	}
	if err != nil {
		return out, fmt.Errorf("read user %q: %w", user, err)
	}
	for _, item := range items {
		switch {
		case strings.HasPrefix(item.SK, skAddress):
			out.Addresses = append(out.Addresses, item.address())
		case item.SK == skProfile:
			out.Settings = item.Settings
		case item.SK == skLimit:
			out.used = item.Used
		}
	}
	slices.SortFunc(out.Addresses, func(a, b channel.Address) int {
		return cmp.Or(b.Registered.Compare(a.Registered), strings.Compare(a.ID(), b.ID()))
	})
	return out, nil
}

// SaveSettings replaces the settings of a user.
func (s *Store) SaveSettings(ctx context.Context, user string, settings Settings) error {
	item, err := itemOf(userKey(user), skProfile, settings)
	if err == nil {
		_, err = s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item})
	}
	if err != nil {
		return fmt.Errorf("save the settings of user %q: %w", user, err)
	}
	return nil
}
