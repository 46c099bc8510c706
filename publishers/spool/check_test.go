package spool_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/banyan-fig/banyan/events"
	"github.com/banyan-fig/banyan/events/social"
	"github.com/banyan-fig/banyan/publishers/spool"
)

func TestABrokenPromiseIsNotSpooled(t *testing.T) {
	s := open(t, spool.Config{Path: filepath.Join(t.TempDir(), "s"), Check: social.Registry().Check})
	e, err := events.New(t.Context(), "/test", social.UserJoined{UserID: "ada", Name: "Ada"})
	if err != nil {
		t.Fatal(err)
	}
	broken := e
	broken.PartitionKey = "bob"
	if _, err := s.Enqueue(t.Context(), broken); !errors.Is(err, events.ErrMalformed) {
		t.Errorf("with another user's partition key: %v", err)
	}
	receipt, err := s.Enqueue(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := receipt.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
