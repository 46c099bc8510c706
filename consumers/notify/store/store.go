// Package store is the table of notifications: what is known of each user, what was sent
// to them, and what is to be sent later.
//
//	pk       sk                              what
//	user#U   address#CHANNEL#HASH            an address of the user
//	user#U   limit                           how much of the rate limit is used
//	user#U   profile                         locale, time zone, quiet hours, opt-outs
//	user#U   sent#TIME#TEMPLATE#EVENT        a notification: claimed, sent, deferred, ...
//	token#H  token                           the user who has this address now
//	due#NN   TIME#HASH                       points to a notification that is to be sent then
//
// The item of a notification is its lock, its outcome, and the history of the user, since
// its key follows from the event alone. Let the table expire items by the attribute
// "expires": that is for how long a notification is not sent twice, too.
package store

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// DefaultTable is the table's name where none is given.
const DefaultTable = "banyan-notifications"

// Retention is how long notifications are kept. It must be longer than events are
// delivered late: the retention of the stream, and the time in which dead letters are redriven.
const Retention = 90 * 24 * time.Hour

// MaxUser is how long a user's id may be, in bytes.
const MaxUser = 512

// Client is the part of *dynamodb.Client that is used.
type Client interface {
	GetItem(context.Context, *dynamodb.GetItemInput, ...func(*dynamodb.Options)) (*dynamodb.GetItemOutput, error)
	PutItem(context.Context, *dynamodb.PutItemInput, ...func(*dynamodb.Options)) (*dynamodb.PutItemOutput, error)
	DeleteItem(context.Context, *dynamodb.DeleteItemInput, ...func(*dynamodb.Options)) (*dynamodb.DeleteItemOutput, error)
	Query(context.Context, *dynamodb.QueryInput, ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error)
	TransactWriteItems(context.Context, *dynamodb.TransactWriteItemsInput, ...func(*dynamodb.Options)) (*dynamodb.TransactWriteItemsOutput, error)
}

// Store reads and writes the table. It is safe for concurrent use. Its errors are those
// of DynamoDB with what was attempted.
type Store struct {
	client Client
	table  string
}

// New makes a store over a table with the texts pk and sk as its keys.
func New(client Client, table string) *Store { return &Store{client, table} }

func userKey(user string) string { return "user#" + user }
