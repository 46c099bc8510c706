package spool_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/kinesis"
	"github.com/banyan-fig/banyan/publishers/spool"
)

// A program whose facts are kept at once, and forwarded when that can be done.
// Its destination is a Kinesis publisher in earnest.
func Example() {
	directory, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(directory)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := spool.Open(ctx, spool.Config{
		Path: filepath.Join(directory, "events.spool"),
		Permanent: func(err error) bool {
			return errors.Is(err, kinesis.ErrTooLarge) || errors.Is(err, events.ErrMalformed)
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	e, err := events.New(ctx, "/monolith", social.UserJoined{UserID: "59b99db4cfa9a34dcd7885b6", Name: "Ada", JoinedAt: time.Now()})
	if err != nil {
		log.Fatal(err)
	}
	receipt, err := s.Enqueue(ctx, e)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := receipt.Wait(ctx); err != nil { // on the disk when this returns without error
		log.Fatal(err)
	}
	stream := &memory{}
	if err := s.DrainAll(ctx, stream); err != nil { // or Drain, for as long as the program runs
		log.Fatal(err)
	}
	fmt.Println(len(stream.records()), "forwarded,", s.Status().Events, "left")
	if err := s.Close(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: 1 forwarded, 0 left
}
