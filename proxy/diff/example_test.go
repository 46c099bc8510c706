package diff_test

import (
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/proxy/diff"
)

func Example() {
	rules, err := diff.Compile(diff.Spec{
		Ignore:    []string{"$.servedBy"},
		Unordered: map[string]string{"$.items": "id"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	legacy := diff.Answer{Status: 200, Body: []byte(`{"servedBy":"php7","items":[{"id":1,"price":10.0},{"id":2,"price":5}]}`)}
	orders := diff.Answer{Status: 200, Body: []byte(`{"items":[{"id":2,"price":4.99},{"id":1,"price":10}]}`)}

	var ledger diff.Ledger
	ledger.Add(diff.Comparison{At: time.Now(), Status: 200, Version: "5.2", Differences: diff.Compare(legacy, orders, rules)})
	for _, sentence := range ledger.Verdict(diff.Gate{Comparisons: map[string]int64{"2xx": 1}}).Missing {
		fmt.Println(sentence)
	}
	// Output:
	// $.items[].price (value) differs in 1 comparisons: 5 against 4.99; correct it, or ignore it by a rule
}
