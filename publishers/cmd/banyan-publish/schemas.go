package main

import (
	"fmt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
	"github.com/banyan-fig/banyan/infra/serving"
)

// schemaFlags say what events must fit.
type schemaFlags struct {
	Schemas string `help:"AsyncAPI document (JSON) that events must fit; those of types that it lacks pass." env:"BANYAN_PUBLISH_SCHEMAS" placeholder:"FILE"`
}

// check is nil without a document.
func (f *schemaFlags) check() (func(events.Event) error, error) {
	if f.Schemas == "" {
		return nil, nil
	}
	document, err := schema.ReadFile(f.Schemas)
	if err != nil {
		return nil, fmt.Errorf("%w: --schemas: %w", serving.ErrUsage, err)
	}
	return document.Check, nil
}
