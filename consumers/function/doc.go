// Package function runs a consumer as a Lambda function: its environment, tables, logs,
// metrics and dead letters.
//
// A function is a handler and one line of main:
//
//	func main() {
//		function.Main(function.Spec{
//			Name:     "orders",
//			Registry: registry,
//			Tables:   []function.Table{{Variable: "ORDERS_TABLE", Default: "orders"}},
//			Handler: func(e function.Env) (consumers.Handler, error) {
//				model, err := orders.New(e.DynamoDB, e.Table("ORDERS_TABLE"))
//				if err != nil {
//					return nil, err
//				}
//				return model.Handle, nil
//			},
//		})
//	}
//
// It is invoked by Kinesis, or by the sources of Spec.Sources (see package source); where none
// of them has positions, there are no dead letters, and ON_FAILURE has no effect.
//
// # Settings
//
// The program gives the values in [Spec], and the environment overrides them:
//
//	variable           Spec             default              what
//	<Table.Variable>   Tables           Table.Default        a table of the function
//	DEAD_LETTER_TABLE  DeadLetterTable  banyan-dead-letters  table of dead letters, for all consumers
//	ON_FAILURE         Policy           dead-letter          what becomes of an event that cannot be decoded
//	                                                         or handled: dead-letter or halt
//	ATTEMPTS           Attempts         5                    at an event, 1 to 1000
//	CONCURRENCY        Concurrency      32                   events handled at the same time, 1 to 1000
//	HANDLER_TIMEOUT    Timeout          30s                  of one attempt
//	EVENT_SHARE        Share            half of the time     of all attempts at an event in one delivery
//	MARGIN             Margin           2s, a fifth at most  of the function's time, in which no handler runs
//	METRICS_NAMESPACE  Namespace        Banyan/Consumers     of the metrics
//	MAX_CALL_CHAIN     MaxChain         100                  functions one after the other, before a message
//	                                                         is given up as part of a loop
//	LOG_LEVEL                           info                 debug, info, warn or error
//	DEBUG_SAMPLE                        0                    part of correlations that are logged at debug, 0 to 1
//
// and AWS_LAMBDA_FUNCTION_NAME, which Lambda sets, is the dimension Function of the
// metrics; AWS_LAMBDA_FUNCTION_MEMORY_SIZE less a tenth is what the collector keeps to,
// unless GOMEMLIMIT is set. The AWS SDK has variables of its own, such as AWS_REGION and
// AWS_ENDPOINT_URL.
//
// FUNCTION_TIMEOUT and MAPPING_RETRIES say what the function and its mapping are deployed
// with (Terraform's module consumer sets them): a function does not start with times that
// do not fit into its timeout, or behind a mapping that would give up whole batches first.
// Without them the log of the first invocation says what does not fit.
//
// A function does not start with a setting that is invalid, or without its tables: it
// writes one line to the standard error and exits with 1. Every table of Tables must
// exist, and that of dead letters unless the policy is halt.
//
// Members of events that are declared personal are opened where Spec.Keys is set, as by
// keytable.FromEnv, whose variables begin with SUBJECT_KEYS.
//
// # Output
//
// Logs are JSON lines on the standard error: failures as errors, at level debug every
// event. The figures of each batch go to the standard output in the embedded metric
// format (see [consumers.EMF]) in the namespace Spec.Namespace. A handler writes
// metrics of its own with Env.Metrics.
//
// # Redrive
//
// The function handles its dead letters again when it is invoked with
//
//	{"redrive": {}}                        all that were not redriven yet, from the oldest
//	{"redrive": {"position": "..."}}       one; with "stream", its ARN, where several
//	                                       streams have that position
//
// as banyan-consume deadletters redrive does. It answers with {"redriven": 3, "failed": 1, "errors": ["..."], "more": false}; more
// says that time ran out, and to invoke it again. An event that still fails stays a
// dead letter.
package function
