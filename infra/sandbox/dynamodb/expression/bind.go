package expression

import (
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// Name is one entry of ExpressionAttributeNames.
type Name struct{ Placeholder, Attribute string }

// Names are the ExpressionAttributeNames of a request.
type Names []Name

func (n Names) get(placeholder string) (string, bool) {
	for i := range n {
		if n[i].Placeholder == placeholder {
			return n[i].Attribute, true
		}
	}
	return "", false
}

// Binding gives the placeholders of a request's expressions their meaning, and remembers which of
// them were used. It is for one request and one goroutine.
type Binding struct {
	Names  Names
	Values attribute.Item

	usedNames  []string
	usedValues []string
}

// use notes placeholders, and refuses the first that is not defined.
func (b *Binding) use(names, values []string) error {
	for _, n := range names {
		if _, ok := b.Names.get(n); !ok {
			return errorf("An expression attribute name used in the document path is not defined; attribute name: %s", n)
		}
	}
	for _, v := range values {
		if _, ok := b.Values.Get(v); !ok {
			return errorf("An expression attribute value used in expression is not defined; attribute value: %s", v)
		}
	}
	b.usedNames = append(b.usedNames, names...)
	b.usedValues = append(b.usedValues, values...)
	return nil
}

func (b *Binding) value(placeholder string) attribute.Value {
	v, _ := b.Values.Get(placeholder)
	return v
}

// Unused is an error if a placeholder was given that no expression of the request used. Call it
// when all of them are bound.
func (b *Binding) Unused() error {
	var idle []string
	for _, v := range b.Values {
		if !slices.Contains(b.usedValues, v.Name) {
			idle = append(idle, v.Name)
		}
	}
	if idle != nil {
		return unused("Values", idle)
	}
	for _, n := range b.Names {
		if !slices.Contains(b.usedNames, n.Placeholder) {
			idle = append(idle, n.Placeholder)
		}
	}
	if idle != nil {
		return unused("Names", idle)
	}
	return nil
}

func unused(what string, keys []string) error {
	return errorf("Value provided in ExpressionAttribute%s unused in expressions: keys: {%s}", what, strings.Join(keys, ", "))
}
