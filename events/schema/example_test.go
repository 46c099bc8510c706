package schema_test

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/schema"
	"github.com/banyan-fig/banyan/events/social"
)

// A program without the Go types checks events by the document of a registry, as
// banyan-publish does with --schemas.
func ExampleRead() {
	info := schema.Info{Title: "Events of the social network", Version: "1.0.0", Stream: "banyan-events"}
	file, err := schema.AsyncAPI(info, social.Registry())
	if err != nil {
		fmt.Println(err)
		return
	}
	document, err := schema.Read(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	e := events.Event{ID: "e-1", Type: "user.joined", Version: 1, PartitionKey: "ada", Data: json.RawMessage(`{"userId":"ada"}`)}
	err = document.Check(e)
	fmt.Println(errors.Is(err, events.ErrMalformed))
	fmt.Println(err)
	// Output:
	// true
	// schema: event e-1: malformed event: data: does not fit user.joined version 1: at '': missing properties 'name', 'joinedAt'
}
