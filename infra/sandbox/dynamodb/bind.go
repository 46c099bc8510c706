package dynamodb

import "github.com/banyan-fig/banyan/infra/sandbox/dynamodb/expression"

// bound are the expressions of one request; those it did not have are nil.
type bound struct {
	condition    *expression.Predicate
	filter       *expression.Predicate
	keyCondition *expression.Predicate
	update       *expression.Change
	projection   *expression.Selection
}

// bind parses and binds all expressions of a request.
func (r *request) bind() (e bound, err error) {
	if err := r.checkExpressionParameters(); err != nil {
		return e, err
	}
	b := &expression.Binding{Names: r.names, Values: r.values}
	if e.update, err = bind("UpdateExpression", r.update, b, expression.ParseUpdate, (*expression.Update).Bind); err != nil {
		return e, err
	}
	condition := func(parameter string, text *string) (*expression.Predicate, error) {
		return bind(parameter, text, b, expression.ParseCondition, (*expression.Condition).Bind)
	}
	if e.keyCondition, err = condition("KeyConditionExpression", r.keyCondition); err != nil {
		return e, err
	}
	if e.condition, err = condition("ConditionExpression", r.condition); err != nil {
		return e, err
	}
	if e.filter, err = condition("FilterExpression", r.filter); err != nil {
		return e, err
	}
	e.projection, err = bind("ProjectionExpression", r.projection, b, expression.ParseProjection, (*expression.Projection).Bind)
	if err != nil {
		return e, err
	}
	return e, b.Unused()
}

// bind parses and binds one expression; nil for none.
func bind[P, B any](parameter string, text *string, b *expression.Binding,
	parse func(string) (*P, error), bound func(*P, *expression.Binding) (*B, error)) (*B, error) {
	if text == nil {
		return nil, nil
	}
	parsed, err := parse(*text)
	if err != nil {
		return nil, invalid("Invalid %s: %v", parameter, err)
	}
	out, err := bound(parsed, b)
	if err != nil {
		return nil, invalid("Invalid %s: %v", parameter, err)
	}
	return out, nil
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
