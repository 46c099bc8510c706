package deadletter

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/infra/dynamo"
)

const (
	prefixNotes    = "notes#"
	prefixAttempts = "attempts#"

	attrFrom     = "from"
	attrInHand   = "inHand"
	attrAlone    = "alone"
	attrAttempts = "attempts"

	// AttrExpires is the attribute with the second in which a note expires.
	AttrExpires = "expires"
	noteLife    = 7 * 24 * time.Hour
	maxNotes    = 25
)

var _ consumers.Notes = (*Store)(nil)

func (s *Store) expiry() types.AttributeValue { return dynamo.Int(s.now().Add(noteLife).Unix()) }

// ReadNotes implements [consumers.Notes].
func (s *Store) ReadNotes(ctx context.Context, reader string, upTo events.Position) ([]consumers.Note, error) {
	out, err := s.client.Query(ctx, &dynamodb.QueryInput{
		TableName:                 &s.table,
		ConsistentRead:            aws.Bool(true),
		KeyConditionExpression:    aws.String("#pk = :pk AND #sk <= :to"),
		ExpressionAttributeNames:  map[string]string{"#pk": "pk", "#sk": dynamo.AttrSK},
		ExpressionAttributeValues: dynamo.Item{":pk": dynamo.String(prefixNotes + reader), ":to": dynamo.String(upTo.String())},
		ScanIndexForward:          aws.Bool(false),
		Limit:                     aws.Int32(maxNotes),
	})
	if err != nil {
		return nil, fmt.Errorf("deadletter: read the notes of %s up to %s: %w", reader, upTo, err)
	}
	var notes []consumers.Note
	for _, item := range out.Items {
		n, err := decodeNote(item)
		if err != nil {
			return nil, fmt.Errorf("deadletter: read a note of %s: %w", reader, err)
		}
		notes = append(notes, n)
	}
	return notes, nil
}

func decodeNote(item dynamo.Item) (n consumers.Note, err error) {
	inHand, err := dynamo.IntOf(item, attrInHand)
	if err != nil {
		return n, err
	}
	alone, err := dynamo.IntOf(item, attrAlone)
	if err != nil {
		return n, err
	}
	n.InHand, n.Alone = int(inHand), int(alone)
	if n.Batch, err = events.ParsePosition(dynamo.StringOf(item, dynamo.AttrSK)); err != nil {
		return n, err
	}
	if n.From, err = events.ParsePosition(dynamo.StringOf(item, attrFrom)); err != nil {
		return n, err
	}
	n.At, err = parseTime(dynamo.StringOf(item, attrAt))
	return n, err
}

// WriteNote implements [consumers.Notes].
func (s *Store) WriteNote(ctx context.Context, reader string, n consumers.Note) error {
	item := dynamo.Key(prefixNotes+reader, n.Batch.String())
	item[attrFrom], item[attrAt], item[AttrExpires] = dynamo.String(n.From.String()), dynamo.String(formatTime(n.At)), s.expiry()
	item[attrInHand], item[attrAlone] = dynamo.Int(int64(n.InHand)), dynamo.Int(int64(n.Alone))
	if _, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &s.table, Item: item}); err != nil {
		return fmt.Errorf("deadletter: write the note of %s at %s: %w", reader, n.Batch, err)
	}
	return nil
}

// AddAttempts implements [consumers.Notes].
func (s *Store) AddAttempts(ctx context.Context, reader string, p events.Position, n int) (total int, err error) {
	out, err := s.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName:                 &s.table,
		Key:                       dynamo.Key(prefixAttempts+reader, p.String()),
		UpdateExpression:          aws.String("ADD #attempts :n SET #expires = :expires"),
		ExpressionAttributeNames:  map[string]string{"#attempts": attrAttempts, "#expires": AttrExpires},
		ExpressionAttributeValues: dynamo.Item{":n": dynamo.Int(int64(n)), ":expires": s.expiry()},
		ReturnValues:              types.ReturnValueAllNew,
	})
	if err != nil {
		return 0, fmt.Errorf("deadletter: count the attempts of %s at %s: %w", reader, p, err)
	}
	all, err := dynamo.IntOf(out.Attributes, attrAttempts)
	return int(all), err
}
