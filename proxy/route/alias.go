package route

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// maxNodes bounds what aliases may make of a route file.
const maxNodes = 1 << 20

// aliases replaces the aliases of a document by what they stand for, since values are decoded
// one by one, each with its place. A value that is shared keeps the place of its anchor.
type aliases struct {
	anchors map[string]ast.Node
	nodes   int
}

func (a *aliases) resolve(n ast.Node) (ast.Node, error) {
	if a.nodes++; a.nodes > maxNodes {
		return nil, &yaml.SyntaxError{Message: fmt.Sprintf("its aliases stand for more than %d values", maxNodes), Token: n.GetToken()}
	}
	var err error
	switch n := n.(type) {
	case *ast.AnchorNode:
		value, err := a.resolve(n.Value)
		a.anchors[n.Name.GetToken().Value] = value
		return value, err
	case *ast.AliasNode:
		value, known := a.anchors[n.Value.GetToken().Value]
		if !known {
			return nil, &yaml.SyntaxError{Message: fmt.Sprintf("unknown alias %q: its anchor must stand above", n.Value.GetToken().Value), Token: n.GetToken()}
		}
		return a.resolve(value)
	case *ast.MappingNode:
		for _, v := range n.Values {
			if v.Value, err = a.resolve(v.Value); err != nil {
				return nil, err
			}
		}
	case *ast.MappingValueNode:
		n.Value, err = a.resolve(n.Value)
	case *ast.SequenceNode:
		for i := range n.Values {
			if n.Values[i], err = a.resolve(n.Values[i]); err != nil {
				return nil, err
			}
		}
	}
	return n, err
}
