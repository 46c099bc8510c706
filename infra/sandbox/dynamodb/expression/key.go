package expression

import (
	"cmp"
	"slices"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
)

// KeySchema is what a key condition must fit: the partition key and, if there is one, the sort key.
type KeySchema struct {
	Hash, Range         string
	HashKind, RangeKind attribute.Kind
}

// KeyRange is what a key condition asks for: one partition, and of its sort keys those that Op
// admits: "" for all, "=", "<", "<=", ">", ">=", or "begins_with", with Value.
type KeyRange struct {
	Hash  attribute.Value
	Op    string
	Value attribute.Value
}

var keyOperators = []operator{"=", "<", "<=", ">", ">=", "begins_with"}

// Key reads the condition as a key condition of the schema. Errors are attribute.ValidationErrors
// with the service's whole message.
func (c *Predicate) Key(schema KeySchema) (KeyRange, error) {
	var parts []node
	if err := c.root.conjuncts(&parts); err != nil {
		return KeyRange{}, err
	}
	var r KeyRange
	var sawHash, sawRange bool
	for i := range parts {
		name, err := parts[i].keyName()
		if err != nil {
			return r, err
		}
		seen := &sawRange
		if name == schema.Hash {
			seen = &sawHash
		}
		if *seen {
			return r, keyError("KeyConditionExpressions must only contain one condition per key")
		}
		*seen = true
		if err := c.keyPart(&parts[i], name, schema, &r); err != nil {
			return r, err
		}
	}
	if !sawHash {
		return r, keyError("Query condition missed key schema element: " + schema.Hash)
	}
	return r, nil
}

func keyError(text string) error { return attribute.ValidationError(text) }

func (n *node) conjuncts(out *[]node) error {
	if n.op == opAnd {
		if err := n.args[0].conjuncts(out); err != nil {
			return err
		}
		return n.args[1].conjuncts(out)
	}
	if !slices.Contains(keyOperators, n.op) {
		return keyError("Invalid operator used in KeyConditionExpression: " + string(n.op))
	}
	*out = append(*out, *n)
	return nil
}

// keyName is the one attribute a part of a key condition is about.
func (n *node) keyName() (string, error) {
	var found path
	for i := range n.args {
		switch a := &n.args[i]; {
		case a.op != "":
			return "", keyError("KeyConditionExpressions cannot contain nested operations")
		case a.isPath() && found != nil:
			return "", keyError("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")
		case a.isPath():
			found = a.path
		}
	}
	if found == nil {
		return "", keyError("Invalid condition in KeyConditionExpression: No key attribute specified")
	}
	if len(found) > 1 {
		return "", keyError("Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: " + found[0])
	}
	return found[0], nil
}

var mirrored = map[operator]operator{"<": ">", "<=": ">=", ">": "<", ">=": "<="}

// keyPart enters one part into the range.
func (c *Predicate) keyPart(n *node, name string, schema KeySchema, r *KeyRange) error {
	op, values := n.op, n.keyValues(c.bind)
	if !n.args[0].isPath() {
		if m, ok := mirrored[op]; ok {
			op = m
		} else if op != "=" {
			return keyError("Invalid condition in KeyConditionExpression: " + string(op) + " operator must have the key attribute as its first operand")
		}
	}
	kind := schema.RangeKind
	switch name {
	case schema.Hash:
		kind = schema.HashKind
		if op != "=" {
			return keyError("Query key condition not supported")
		}
	case schema.Range:
	default:
		missed := schema.Range
		missed = cmp.Or(missed, schema.Hash)
		return keyError("Query condition missed key schema element: " + missed)
	}
	for _, v := range values {
		if v.Kind() != kind {
			return keyError("One or more parameter values were invalid: Condition parameter type does not match schema type")
		}
		if v.Text() == "" {
			return keyError("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty " +
				emptyNames[kind] + " value. Key: " + name)
		}
	}
	if name == schema.Hash {
		r.Hash = values[0]
		return nil
	}
	r.Op, r.Value = string(op), values[0]
	return nil
}

var emptyNames = map[attribute.Kind]string{attribute.S: "string", attribute.B: "binary", attribute.N: "number"}

func (n *node) keyValues(b *Binding) []attribute.Value {
	var out []attribute.Value
	for i := range n.args {
		if n.args[i].isValue() {
			out = append(out, b.value(n.args[i].value))
		}
	}
	return out
}
