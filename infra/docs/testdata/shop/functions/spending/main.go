// Command spending is a Lambda function: what each customer has spent.
package main

import (
	"github.com/banyan-fig/banyan/consumers"
	"github.com/banyan-fig/banyan/consumers/function"
	"github.com/banyan-fig/banyan/consumers/once"

	"example.com/shop"
)

type spending struct{ Orders, Cents int64 }

func main() {
	function.Main(function.Spec{
		Name:     "spending",
		Registry: shop.Events,
		Tables:   []function.Table{{Variable: "SPENDING_TABLE", Default: "spending"}},
		Handler: func(e function.Env) (consumers.Handler, error) {
			model, err := once.NewModel(once.ModelConfig[spending]{
				Name: "spending", Client: e.DynamoDB, Table: e.Table("SPENDING_TABLE"), Key: customer, Fold: add,
			})
			if err != nil {
				return nil, err
			}
			return model.Handle, nil
		},
	})
}

// customer is whose item an event changes, "" for none.
func customer(m consumers.Message) string {
	if o, ok := m.Payload.(shop.OrderPlaced); ok {
		return o.Customer
	}
	return ""
}

func add(s *spending, m consumers.Message) error {
	s.Orders++
	s.Cents += m.Payload.(shop.OrderPlaced).Cents
	return nil
}
