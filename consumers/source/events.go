package source

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
)

// unwrap sets Event and Payload of a message whose Raw may be an event of package events or
// of EventBridge. Raw becomes the former where the latter carries one.
func unwrap(c *consumers.Consumer, m *consumers.Message, options []Option) error {
	if slices.Contains(options, Raw) {
		return nil
	}
	var carrier struct {
		ID         string
		Source     string
		DetailType *string `json:"detail-type"`
		Detail     json.RawMessage
		Time       time.Time
		Resources  []string
	}
	switch {
	case isCloudEvent(m.Raw):
		return c.Decode(m)
	case json.Unmarshal(m.Raw, &carrier) != nil || carrier.DetailType == nil || carrier.ID == "":
		return nil
	case isCloudEvent(carrier.Detail):
		m.Raw = carrier.Detail
		if err := c.Decode(m); err != nil {
			return fmt.Errorf("the detail of the event %s of EventBridge: %w", carrier.ID, err)
		}
		return nil
	}
	m.Event = events.Event{
		ID: carrier.ID, Source: carrier.Source, Type: *carrier.DetailType, Version: 1, Time: carrier.Time.UTC(),
		PartitionKey: carrier.ID, Data: carrier.Detail,
	}
	if len(carrier.Resources) > 0 {
		m.Event.Subject = carrier.Resources[0]
	}
	return c.Decode(m)
}

// isCloudEvent reports whether raw claims to be an event of package events.
func isCloudEvent(raw []byte) bool {
	var claim struct{ SpecVersion json.RawMessage }
	return json.Unmarshal(raw, &claim) == nil && claim.SpecVersion != nil
}
