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
func (rd *reader) field(r *request, name string) (known bool, err error) {
	switch name {
	case "TableName":
		r.table, err = rd.scan.String()
	case "ReturnValues":
		r.returnValues, err = rd.scan.String()
	case "ReturnValuesOnConditionCheckFailure":
		r.returnOnFailed, err = rd.scan.String()
	case "ReturnConsumedCapacity":
		r.capacity, err = rd.scan.String()
	case "IndexName":
		r.index, err = rd.scan.String()
	case "Select":
		r.sel, err = rd.scan.String()
	case "ClientRequestToken":
		r.token, err = rd.scan.String()
	case "ConditionExpression":
		r.condition, err = pointer(rd.scan.String())
	case "UpdateExpression":
		r.update, err = pointer(rd.scan.String())
	case "ProjectionExpression":
		r.projection, err = pointer(rd.scan.String())
	case "FilterExpression":
		r.filter, err = pointer(rd.scan.String())
	case "KeyConditionExpression":
		r.keyCondition, err = pointer(rd.scan.String())
	case "Key":
		r.key, err = attribute.ReadItem(&rd.scan)
	case "Item":
		r.item, err = attribute.ReadItem(&rd.scan)
	case "ExclusiveStartKey":
		r.start, err = attribute.ReadItem(&rd.scan)
	case "Limit":
		r.limit, err = pointer(rd.scan.Int())
	case "Segment":
		r.segment, err = pointer(rd.scan.Int())
	case "TotalSegments":
		r.segments, err = pointer(rd.scan.Int())
	case "ConsistentRead":
		r.consistent, err = rd.scan.Bool()
	case "ScanIndexForward":
		r.backward, err = rd.scan.Bool()
		r.backward = !r.backward
	case "ExpressionAttributeNames":
		r.hasNames, err = true, rd.expressionNames(r)
	case "ExpressionAttributeValues":
		r.hasValues, err = true, rd.expressionValues(r)
	case "Keys":
		err = rd.keys(r)
	case "TransactItems":
		err = rd.transactItems(r)
	case "RequestItems":
		err = rd.requestItems(r)
	default:
		return false, nil
	}
	return true, err
}

func pointer[T any](v T, err error) (*T, error) { return &v, err }

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
