package dynamodb

import (
	"errors"
	"slices"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/expression"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/wire"
)

// request is the input of any operation on items; each operation looks at its own fields. The
// elements of batches and transactions are requests too.
type request struct {
	operation string
	table     string
	key       attribute.Item
	item      attribute.Item
	keys      []attribute.Item // of BatchGetItem, for one table

	condition    *string
	update       *string
	projection   *string
	filter       *string
	keyCondition *string
	names        expression.Names
	values       attribute.Item
	hasNames     bool
	hasValues    bool

	returnValues   string
	returnOnFailed string
	capacity       string
	consistent     bool

	index    string
	sel      string
	limit    *int64
	start    attribute.Item
	backward bool
	segment  *int64
	segments *int64

	token    string
	transact []*request // TransactItems, each with its operation
	batch    []*request // RequestItems: writes, or one request of keys a table
	size     int        // bytes of the body, what the limits of batches count
	partial  bool       // a fault: leave some of a batch unprocessed
}

// firstTable is the table that a fault hook is told.
func (r *request) firstTable() string {
	switch {
	case r.table != "":
		return r.table
	case len(r.transact) > 0:
		return r.transact[0].table
	case len(r.batch) > 0:
		return r.batch[0].table
	}
	return ""
}

// reader decodes requests. It is not safe for concurrent use.
type reader struct{ scan wire.Scanner }

// read decodes the body of an operation on items.
func (rd *reader) read(operation string, body []byte) (*request, error) {
	rd.scan.Reset(body)
	r := &request{operation: operation, size: len(body)}
	if err := rd.fields(r); err != nil {
		return nil, err
	}
	return r, rd.scan.End()
}

func (rd *reader) fields(r *request) error {
	if rd.scan.Peek() != '{' {
		return attribute.SerializationError("expected an object")
	}
	return rd.scan.Object(func(name string) error {
		if rd.scan.Null() {
			return nil
		}
		known, err := rd.field(r, name)
		if err == nil && !known {
			return notImplemented("the parameter " + name)
		}
		return err
	})
}

// field decodes one parameter; false if there is none of that name here.
func (rd *reader) field(r *request, name string) (bool, error) {
	if target := r.text(name); target != nil {
		var err error
		*target, err = rd.scan.String()
		return true, err
	}
	if target := r.expression(name); target != nil {
		text, err := rd.scan.String()
		*target = &text
		return true, err
	}
	if target := r.items(name); target != nil {
		var err error
		*target, err = attribute.ReadItem(&rd.scan)
		return true, err
	}
	if target := r.whole(name); target != nil {
		n, err := rd.scan.Int()
		*target = &n
		return true, err
	}
	return rd.structure(r, name)
}

func (r *request) text(name string) *string {
	switch name {
	case "TableName":
		return &r.table
	case "ReturnValues":
		return &r.returnValues
	case "ReturnValuesOnConditionCheckFailure":
		return &r.returnOnFailed
	case "ReturnConsumedCapacity":
		return &r.capacity
	case "IndexName":
		return &r.index
	case "Select":
		return &r.sel
	case "ClientRequestToken":
		return &r.token
	}
	return nil
}

func (r *request) expression(name string) **string {
	switch name {
	case "ConditionExpression":
		return &r.condition
	case "UpdateExpression":
		return &r.update
	case "ProjectionExpression":
		return &r.projection
	case "FilterExpression":
		return &r.filter
	case "KeyConditionExpression":
		return &r.keyCondition
	}
	return nil
}

func (r *request) items(name string) *attribute.Item {
	switch name {
	case "Key":
		return &r.key
	case "Item":
		return &r.item
	case "ExclusiveStartKey":
		return &r.start
	}
	return nil
}

func (r *request) whole(name string) **int64 {
	switch name {
	case "Limit":
		return &r.limit
	case "Segment":
		return &r.segment
	case "TotalSegments":
		return &r.segments
	}
	return nil
}

func (rd *reader) structure(r *request, name string) (bool, error) {
	switch name {
	case "ConsistentRead":
		var err error
		r.consistent, err = rd.scan.Bool()
		return true, err
	case "ScanIndexForward":
		forward, err := rd.scan.Bool()
		r.backward = !forward
		return true, err
	case "ExpressionAttributeNames":
		r.hasNames = true
		return true, rd.expressionNames(r)
	case "ExpressionAttributeValues":
		r.hasValues = true
		return true, rd.expressionValues(r)
	case "Keys":
		return true, rd.keys(r)
	case "TransactItems":
		return true, rd.transactItems(r)
	case "RequestItems":
		return true, rd.requestItems(r)
	}
	return false, nil
}

func (rd *reader) expressionNames(r *request) error {
	err := rd.scan.Object(func(placeholder string) error {
		name, err := rd.scan.String()
		if !placeholderOK(placeholder, '#') {
			return invalid("ExpressionAttributeNames contains invalid key: Syntax error; key: \"%s\"", placeholder)
		}
		r.names = append(r.names, expression.Name{Placeholder: placeholder, Attribute: name})
		return err
	})
	slices.SortFunc(r.names, func(a, b expression.Name) int { return strings.Compare(a.Placeholder, b.Placeholder) })
	return err
}

func (rd *reader) expressionValues(r *request) error {
	err := rd.scan.Object(func(placeholder string) error {
		if !placeholderOK(placeholder, ':') {
			return invalid("ExpressionAttributeValues contains invalid key: Syntax error; key: \"%s\"", placeholder)
		}
		v, err := attribute.ReadValue(&rd.scan)
		var wrong attribute.ValidationError
		if errors.As(err, &wrong) {
			return invalid("ExpressionAttributeValues contains invalid value: %s for key %s", wrong, placeholder)
		}
		r.values = append(r.values, attribute.Field{Name: placeholder, Value: v})
		return err
	})
	slices.SortFunc(r.values, func(a, b attribute.Field) int { return strings.Compare(a.Name, b.Name) })
	return err
}

func placeholderOK(s string, sigil byte) bool {
	return len(s) > 1 && s[0] == sigil && strings.IndexFunc(s[1:], func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z')
	}) < 0
}

func (rd *reader) keys(r *request) error {
	r.keys = []attribute.Item{}
	return rd.scan.Array(func() error {
		key, err := attribute.ReadItem(&rd.scan)
		r.keys = append(r.keys, key)
		return err
	})
}

// transactItems reads [{"Put": {...}}, ...]; an element with no or several members keeps the
// operation "".
func (rd *reader) transactItems(r *request) error {
	r.transact = []*request{}
	return rd.scan.Array(func() error {
		count := 0
		one := &request{}
		err := rd.scan.Object(func(operation string) error {
			if rd.scan.Null() {
				return nil
			}
			count++
			one.operation = operation
			return rd.fields(one)
		})
		if count != 1 {
			one.operation = ""
		}
		r.transact = append(r.transact, one)
		return err
	})
}

// requestItems reads {"table": [{"PutRequest": ...}, ...]} and {"table": {"Keys": [...]}}.
func (rd *reader) requestItems(r *request) error {
	return rd.scan.Object(func(table string) error {
		if rd.scan.Peek() == '{' {
			one := &request{operation: "Get"}
			err := rd.fields(one)
			one.table = table
			r.batch = append(r.batch, one)
			return err
		}
		before := len(r.batch)
		err := rd.scan.Array(func() error { return rd.writeRequest(r, table) })
		if err == nil && len(r.batch) == before {
			err = invalid("The batch write request list for a table cannot be null or empty: %s", table)
		}
		return err
	})
}

func (rd *reader) writeRequest(r *request, table string) error {
	count := 0
	one := &request{}
	err := rd.scan.Object(func(operation string) error {
		if rd.scan.Null() {
			return nil
		}
		count++
		one.operation = strings.TrimSuffix(operation, "Request")
		return rd.fields(one)
	})
	if err == nil && (count != 1 || one.operation != "Put" && one.operation != "Delete") {
		err = invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	one.table = table
	r.batch = append(r.batch, one)
	return err
}
