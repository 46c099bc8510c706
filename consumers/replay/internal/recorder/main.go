// Command recorder is a function for tests, on the runtime of consumers: it writes the position
// and the key of each event that it applies to the file RECORD, a line each, and fails at some by
// SEED, for which the mapping has to deliver them again.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/banyan-fig/banyan/consumers"
)

var errSeed = errors.New("by seed")

func main() {
	seed, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64)
	if err != nil {
		panic(err)
	}
	file, err := os.OpenFile(os.Getenv("RECORD"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, uint64(os.Getpid())))
	c, err := consumers.New(consumers.Config{
		Name: "recorder", Policy: consumers.Halt, Attempts: 1,
		Handler: func(_ context.Context, m consumers.Message) error {
			mu.Lock()
			defer mu.Unlock()
			switch random.IntN(60) {
			case 0:
				return consumers.Unavailable(errSeed)
			case 1:
				if random.IntN(4) == 0 {
					os.Exit(1)
				}
			}
			_, err := fmt.Fprintf(file, "%v %s %s\n", m.Position, m.Shard, m.Event.PartitionKey)
			return err
		},
	})
	if err != nil {
		panic(err)
	}
	lambda.Start(c.HandleKinesis)
}
