package events_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/banyan-fig/banyan/events"
)

// PriceChanged says that an article of the shop has a new price.
type PriceChanged struct {
	Article string `json:"article"`
	Cents   int64  `json:"cents"`
	Reason  string `json:"reason,omitempty"`
}

func (PriceChanged) EventType() string      { return "price.changed" }
func (PriceChanged) EventVersion() int      { return 2 }
func (p PriceChanged) Subject() string      { return "article/" + p.Article }
func (p PriceChanged) PartitionKey() string { return p.Article }

// Validate refuses what the Go type allows and the shop does not.
func (p PriceChanged) Validate() error {
	if p.Cents < 0 {
		return errors.New("cents is negative")
	}
	return nil
}

// PriceChangedV1 is what the shop published until prices had cents.
type PriceChangedV1 struct {
	Article string `json:"article"`
	Euros   int64  `json:"euros"`
}

func (PriceChangedV1) EventType() string      { return "price.changed" }
func (PriceChangedV1) EventVersion() int      { return 1 }
func (p PriceChangedV1) Subject() string      { return "article/" + p.Article }
func (p PriceChangedV1) PartitionKey() string { return p.Article }

func toCents(old PriceChangedV1) (PriceChanged, error) {
	return PriceChanged{Article: old.Article, Cents: old.Euros * 100}, nil
}

var shop = events.MustRegistry(
	events.Define(PriceChanged{Article: "a-1", Cents: 499, Reason: "sale"}, "the article's number"),
	events.DefineOld(PriceChangedV1{Article: "a-1", Euros: 5}, "the article's number", toCents),
)

func printPrice(e events.Event) error {
	payload, err := shop.Decode(e)
	if errors.Is(err, events.ErrUnknownType) {
		return nil // somebody else's
	}
	if err != nil {
		return err
	}
	switch p := payload.(type) {
	case PriceChanged:
		fmt.Println(p.Article, "costs", p.Cents)
	}
	return nil
}

// A company declares its own events, and reads old ones as if they were new.
func Example() {
	ctx := context.Background()
	for _, p := range []events.Payload{
		PriceChangedV1{Article: "a-1", Euros: 5},
		PriceChanged{Article: "a-1", Cents: 499},
	} {
		e, err := events.New(ctx, "/shop", p)
		if err != nil {
			fmt.Println(err)
			return
		}
		if err := printPrice(e); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// a-1 costs 500
	// a-1 costs 499
}

// An event that is not what its type says is refused wherever Check is given.
func ExampleRegistry_Check() {
	e, err := events.New(context.Background(), "/shop", PriceChanged{Article: "a-1", Cents: 499})
	if err != nil {
		fmt.Println(err)
		return
	}
	e.ID, e.PartitionKey = "e-1", "a-2"
	fmt.Println(shop.Check(e))
	// Output:
	// events: payload of event e-1: malformed event: partitionkey: the envelope has "a-2", and price.changed version 2 names "a-1" (the article's number)
}
