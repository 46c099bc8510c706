package dynamodb

import (
	"sync"

	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/expression"
)

// expressionCache keeps parsed expressions, because programs send the same few over and over. When
// a map is full it starts again from empty: programs that put values into their expressions gain
// nothing and lose nothing.
type expressionCache struct {
	mu          sync.RWMutex
	conditions  map[string]*expression.Condition
	updates     map[string]*expression.Update
	projections map[string]*expression.Projection
}

const cachedExpressions = 2000

func newExpressionCache() *expressionCache {
	return &expressionCache{
		conditions:  map[string]*expression.Condition{},
		updates:     map[string]*expression.Update{},
		projections: map[string]*expression.Projection{},
	}
}

func cached[T any](mu *sync.RWMutex, m map[string]T, text string, parse func(string) (T, error)) (T, error) {
	mu.RLock()
	parsed, ok := m[text]
	mu.RUnlock()
	if ok {
		return parsed, nil
	}
	parsed, err := parse(text)
	if err != nil {
		return parsed, err
	}
	mu.Lock()
	defer mu.Unlock()
	if len(m) >= cachedExpressions {
		clear(m)
	}
	m[text] = parsed
	return parsed, nil
}

// bound are the expressions of one request; those it did not have are nil.
type bound struct {
	condition    *expression.Predicate
	filter       *expression.Predicate
	keyCondition *expression.Predicate
	update       *expression.Change
	projection   *expression.Selection
}

// bind parses and binds all expressions of a request.
func (c *expressionCache) bind(r *request) (bound, error) {
	var e bound
	if err := r.checkExpressionParameters(); err != nil {
		return e, err
	}
	b := &expression.Binding{Names: r.names, Values: r.values}
	var err error
	if e.update, err = c.bindUpdate(r.update, b); err != nil {
		return e, err
	}
	if e.keyCondition, err = c.bindCondition("KeyConditionExpression", r.keyCondition, b); err != nil {
		return e, err
	}
	if e.condition, err = c.bindCondition("ConditionExpression", r.condition, b); err != nil {
		return e, err
	}
	if e.filter, err = c.bindCondition("FilterExpression", r.filter, b); err != nil {
		return e, err
	}
	if e.projection, err = c.bindProjection(r.projection, b); err != nil {
		return e, err
	}
	return e, b.Unused()
}

func (c *expressionCache) bindCondition(parameter string, text *string, b *expression.Binding) (*expression.Predicate, error) {
	if text == nil {
		return nil, nil
	}
	parsed, err := cached(&c.mu, c.conditions, *text, expression.ParseCondition)
	if err != nil {
		return nil, invalid("Invalid %s: %v", parameter, err)
	}
	p, err := parsed.Bind(b)
	if err != nil {
		return nil, invalid("Invalid %s: %v", parameter, err)
	}
	return p, nil
}

func (c *expressionCache) bindUpdate(text *string, b *expression.Binding) (*expression.Change, error) {
	if text == nil {
		return nil, nil
	}
	parsed, err := cached(&c.mu, c.updates, *text, expression.ParseUpdate)
	if err != nil {
		return nil, invalid("Invalid UpdateExpression: %v", err)
	}
	u, err := parsed.Bind(b)
	if err != nil {
		return nil, invalid("Invalid UpdateExpression: %v", err)
	}
	return u, nil
}

func (c *expressionCache) bindProjection(text *string, b *expression.Binding) (*expression.Selection, error) {
	if text == nil {
		return nil, nil
	}
	parsed, err := cached(&c.mu, c.projections, *text, expression.ParseProjection)
	if err != nil {
		return nil, invalid("Invalid ProjectionExpression: %v", err)
	}
	p, err := parsed.Bind(b)
	if err != nil {
		return nil, invalid("Invalid ProjectionExpression: %v", err)
	}
	return p, nil
}

// checkExpressionParameters refuses placeholders without expressions, and empty maps of placeholders.
func (r *request) checkExpressionParameters() error {
	conditions := r.condition != nil || r.update != nil || r.filter != nil || r.keyCondition != nil
	switch {
	case r.hasNames && !conditions && r.projection == nil:
		return invalid("ExpressionAttributeNames can only be specified when using expressions")
	case r.hasValues && !conditions:
		return invalid("ExpressionAttributeValues can only be specified when using expressions: %s is null", r.mainExpression())
	case r.hasNames && len(r.names) == 0:
		return invalid("ExpressionAttributeNames must not be empty")
	case r.hasValues && len(r.values) == 0:
		return invalid("ExpressionAttributeValues must not be empty")
	}
	return nil
}

func (r *request) mainExpression() string {
	switch r.operation {
	case "Query":
		return "FilterExpression and KeyConditionExpression"
	case "Scan":
		return "FilterExpression"
	case "UpdateItem", "Update":
		return "UpdateExpression and ConditionExpression"
	}
	return "ConditionExpression"
}
