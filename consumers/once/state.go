package once

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// ownAttributes are those of a [Model] in the item of a state.
var ownAttributes = []string{dynamo.AttrPK, dynamo.AttrSK, AttrPosition, attrRevision, attrPartition}

// checkState refuses a type whose states a [Model] could not store, so that it shows
// when the program starts and not with the first event.
func (m *Model[T]) checkState(zero T) error {
	if _, err := m.encodeState(zero); err != nil {
		return err
	}
	t := reflect.TypeFor[T]()
	if t.Implements(reflect.TypeFor[attributevalue.Marshaler]()) {
		return nil // it alone knows
	}
	names := attributesOf(t)
	if len(names) == 0 && t.NumField() > 0 {
		return fmt.Errorf("%v has no exported fields, and unexported ones are not stored", t)
	}
	for _, name := range names {
		if m.reserves(name) { // which omitempty hid so far
			return reservedError(zero, name)
		}
	}
	return nil
}

// attributesOf lists the attributes that a struct may be encoded to.
func attributesOf(t reflect.Type) (names []string) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("dynamodbav"), ",")
		inner := field.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		switch {
		case name == "-":
		case field.Anonymous && name == "" && inner.Kind() == reflect.Struct && inner != t:
			names = append(names, attributesOf(inner)...)
		case !field.IsExported():
		case name != "":
			names = append(names, name)
		default:
			names = append(names, field.Name)
		}
	}
	return names
}

func (m *Model[T]) encodeState(state T) (dynamo.Item, error) {
	item, err := attributevalue.MarshalMap(state)
	if err != nil {
		return nil, fmt.Errorf("encode the state: %w", err)
	}
	for name := range item {
		if m.reserves(name) {
			return nil, reservedError(state, name)
		}
	}
	return item, nil
}

// reserves reports whether states must not have the attribute: by expires the table's
// TTL would delete them.
func (m *Model[T]) reserves(name string) bool {
	return slices.Contains(ownAttributes, name) || name == attrExpires && m.cfg.Remember > 0
}

func reservedError(state any, name string) error {
	return fmt.Errorf("%T has the attribute %q, which the model uses itself: rename it with a dynamodbav tag", state, name)
}
