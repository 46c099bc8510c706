package projection

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// Event is what Lambda gives to a function on the stream of a table.
type Event struct {
	Records []Record `json:"Records"`
}

// Record is one change in an Event, in DynamoDB's JSON.
type Record struct {
	Name   string `json:"eventName"`
	Source string `json:"eventSource"`
	Change struct {
		Sequence string          `json:"SequenceNumber"`
		New      json.RawMessage `json:"NewImage"`
		Old      json.RawMessage `json:"OldImage"`
	} `json:"dynamodb"`
}

// errNoImages says what a mapping's stream lacks.
var errNoImages = errors.New("it has no image of the item: the table's stream must have NEW_AND_OLD_IMAGES")

// Handle is the function on the stream of the table. A batch that fails comes again as a whole,
// which changes nothing of what was written.
func (p *Projection) Handle(ctx context.Context, e Event) error {
	if len(e.Records) == 0 {
		return errors.New("the event has no records: this function is for the stream of a DynamoDB table")
	}
	changes := make([]change, len(e.Records))
	for i, r := range e.Records {
		var err error
		if changes[i], err = r.change(); err != nil {
			return fmt.Errorf("record %s of %s: %w", r.Change.Sequence, p.cfg.Table, err)
		}
	}
	return p.apply(ctx, changes)
}

func (r Record) change() (change, error) {
	if r.Source != "aws:dynamodb" {
		return change{}, fmt.Errorf("it is from %q: this function is for the stream of a DynamoDB table", r.Source)
	}
	image, removed := r.Change.New, r.Name == "REMOVE"
	if removed {
		image = r.Change.Old
	}
	if len(image) == 0 {
		return change{}, errNoImages
	}
	item, err := attributevalue.UnmarshalMapJSON(image)
	if err != nil {
		return change{}, fmt.Errorf("decode its image: %w", err)
	}
	return change{dynamo.Item(item), removed}, nil
}
