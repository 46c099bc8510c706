package cost_test

import (
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/infra/capacity"
	"github.com/banyan-fig/banyan/infra/ops/sqsloop/cost"
)

// The table in the comment of package sqsloop.
func ExampleLoad() {
	prices, err := capacity.Published("us-east-1")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(" messages     loops   loop     mapping")
	for _, n := range [][2]float64{{0, 1}, {1e6, 1}, {1e8, 1}, {1e8, 5}} {
		l := cost.Load{Messages: n[0], Loops: n[1], Batch: 10, Handling: 100 * time.Millisecond, MemoryGB: 0.125}
		fmt.Printf("%9.0f     %.0f     %8.2f  %8.2f\n", l.Messages, l.Loops, l.Loop(prices), l.Mapping(prices))
	}
	// Output:
	//  messages     loops   loop     mapping
	//         0     1         4.65      0.26
	//   1000000     1         4.77      0.38
	// 100000000     1        16.32     11.93
	// 100000000     5        34.92     11.93
}
