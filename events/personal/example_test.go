package personal_test

import (
	"context"
	"fmt"
	"log"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/personal"
)

// MessageSent has a text that is its sender's.
type MessageSent struct {
	From string `json:"from"`
	Text string `json:"text" personal:"user/{from}"`
}

func (MessageSent) EventType() string      { return "message.sent" }
func (MessageSent) EventVersion() int      { return 1 }
func (m MessageSent) Subject() string      { return "chat/1" }
func (m MessageSent) PartitionKey() string { return m.From }

// A message before and after its sender is erased.
func Example() {
	ctx := context.Background()
	registry := events.MustRegistry(events.Define(MessageSent{From: "42", Text: "hello"}, "the sender's id"))
	keys := &memory{keys: map[string]*personal.Key{}} // a keytable.Table in earnest
	sealer := personal.Sealer{Members: registry.Personal, Keys: keys}
	event, err := events.New(ctx, "/chat", MessageSent{From: "42", Text: "see you at noon"})
	if err != nil {
		log.Fatal(err)
	}
	if event, err = sealer.Seal(ctx, event); err != nil {
		log.Fatal(err)
	}
	read := func() {
		opened, err := sealer.Open(ctx, event)
		if err != nil {
			log.Fatal(err)
		}
		payload, err := registry.Decode(opened)
		fmt.Printf("%+v withheld: %v %v\n", payload, registry.Withholds(opened), err)
	}
	read()
	keys.keys["user/42"] = nil // Erase
	read()
	// Output:
	// {From:42 Text:see you at noon} withheld: false <nil>
	// {From:42 Text:} withheld: true <nil>
}
