package source

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/correlation"
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
	if isCloudEvent(m.Raw) {
		return c.Decode(m)
	}
	setContext(m, m.Raw)
	switch {
	case json.Unmarshal(m.Raw, &carrier) != nil || carrier.DetailType == nil || carrier.ID == "":
		return nil
	case isCloudEvent(carrier.Detail):
		m.Raw = carrier.Detail
		if err := c.Decode(m); err != nil {
			return fmt.Errorf("the detail of the event %s of EventBridge: %w", carrier.ID, err)
		}
		return nil
	}
	setContext(m, carrier.Detail)
	ids := correlation.FromAttributes(m.Attributes)
	m.Event = events.Event{
		TraceParent: ids.TraceParent, CorrelationID: cmp.Or(ids.CorrelationID, carrier.ID), CausationID: ids.CausationID,
		Chain: ids.Chain, Debug: ids.Debug,
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

// maxContext bounds how many members of a context are read.
const maxContext = 20

// setContext reads the ids that DAZN's powertools put into payloads without attributes.
func setContext(m *consumers.Message, payload []byte) {
	var carrier struct {
		Context map[string]any `json:"__context__"`
	}
	if json.Unmarshal(payload, &carrier) != nil || len(carrier.Context) > maxContext {
		return
	}
	for name, value := range carrier.Context {
		setAttribute(m, name, fmt.Sprint(value))
	}
}
