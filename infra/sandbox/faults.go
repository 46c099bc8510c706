package sandbox

import (
	"context"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
	"github.com/banyan-fig/banyan/infra/sandbox/mongodb"
)

// drawn is the hook of the services that know the plan's own kinds.
func drawn(in *fault.Injector, service string) func(operation, resource string) fault.Fault {
	return func(operation, resource string) fault.Fault { return in.Draw(service, operation, resource) }
}

// dynamodbFaults translates. A partial failure is unprocessed work where there
// is a batch, and else a conflict with a transaction; late is a slow answer;
// duplicate has no meaning for a database. A timeout after the effect closes
// the connection at once.
func dynamodbFaults(ctx context.Context, in *fault.Injector) func(operation, table string) dynamodb.Fault {
	return func(operation, table string) dynamodb.Fault {
		f := in.Draw(DynamoDB, operation, table)
		if f.Kind == fault.TimeoutBefore || f.Kind == fault.Late {
			_ = backoff.Sleep(ctx, f.Delay)
		}
		switch f.Kind {
		case fault.Throttle:
			return dynamodb.FaultThrottle
		case fault.Internal:
			return dynamodb.FaultInternal
		case fault.TimeoutBefore:
			return dynamodb.FaultTimeoutBefore
		case fault.TimeoutAfter:
			return dynamodb.FaultTimeoutAfter
		case fault.Partial:
			if operation == "BatchWriteItem" || operation == "BatchGetItem" {
				return dynamodb.FaultPartial
			}
			return dynamodb.FaultConflict
		}
		return dynamodb.FaultNone
	}
}

// mongodbFaults translates: MongoDB knows no throttling, a primary that steps
// down is its refusal.
func mongodbFaults(in *fault.Injector) func(command, namespace string) mongodb.Fault {
	return func(command, namespace string) mongodb.Fault {
		f := in.Draw(MongoDB, command, namespace)
		switch f.Kind {
		case fault.TimeoutBefore:
			return mongodb.Fault{Kind: mongodb.CloseBefore, Delay: f.Delay}
		case fault.TimeoutAfter:
			return mongodb.Fault{Kind: mongodb.CloseAfter, Delay: f.Delay}
		case fault.Throttle, fault.Internal:
			return mongodb.Fault{Kind: mongodb.NotWritablePrimary}
		case fault.Late:
			return mongodb.Fault{Delay: f.Delay}
		case fault.Duplicate:
			return mongodb.Fault{Kind: mongodb.Repeat, Delay: f.Delay}
		}
		return mongodb.Fault{}
	}
}

// lambdaFaults: a function's invocation, by a client or a mapping, is the operation
// Invoke.
func lambdaFaults(in *fault.Injector) func(function string) fault.Fault {
	return func(function string) fault.Fault { return in.Draw(Lambda, "Invoke", function) }
}
