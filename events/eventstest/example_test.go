package eventstest_test

import (
	"flag"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/eventstest"
)

var shop = events.MustRegistry(events.Define(example(), "the customer's id"))

var update = flag.Bool("update", false, "record new versions of events")

func TestHistory(t *testing.T) {
	eventstest.CheckHistory(t, shop, "testdata/events", *update)
}
