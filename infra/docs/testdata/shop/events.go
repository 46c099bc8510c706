// Package shop declares the events of a web shop.
package shop

import (
	"errors"

	"github.com/banyan-fig/banyan/events"
)

// OrderPlaced says that a customer ordered something.
type OrderPlaced struct {
	OrderID  string `json:"orderId"`
	Customer string `json:"customer"`
	Cents    int64  `json:"cents"`
}

func (OrderPlaced) EventType() string      { return "order.placed" }
func (OrderPlaced) EventVersion() int      { return 1 }
func (o OrderPlaced) Subject() string      { return "order/" + o.OrderID }
func (o OrderPlaced) PartitionKey() string { return o.Customer }

// Validate is called wherever an event comes in.
func (o OrderPlaced) Validate() error {
	if o.OrderID == "" || o.Cents <= 0 {
		return errors.New("orderId and cents must be given")
	}
	return nil
}

// Events are the types that the shop's programs know.
var Events = events.MustRegistry(
	events.Define(OrderPlaced{OrderID: "7", Customer: "ada", Cents: 1250}, "the customer's id"),
)
