// Package sqsloop polls SQS queues by functions that invoke themselves: a loop
// is a chain of invocations (turns), each of which polls, has messages handled,
// and starts the next.
//
// # Use an event source mapping instead
//
// Caveats first, and the first is that this is hardly ever what you want. Lambda
// polls SQS by itself since 2018: an event source mapping needs no table, no
// alarms and none of the functions here, scales to 1,250 batches at once, and
// costs less at every load (below). Set ReportBatchItemFailures, a maximum
// concurrency and a redrive policy on the queue, and be done. A [Handler] is a
// handler of a mapping, so a loop's function moves there without a change.
//
// What is left for a loop:
//   - a queue in another region, which a mapping does not read: requests go to the
//     region in the queue's URL. Its alarms and their topics have to be there too,
//     and SNS notifies functions of other regions;
//   - exactly one consumer, or a number that you choose: the maximum
//     concurrency of a mapping is 2 at least;
//   - something else that has to be polled and has no mapping: give [Loop] an SQS
//     of your own.
//
// Further caveats:
//   - Messages are handled at least once. FIFO queues are refused.
//   - A loop that dies is replaced by the restart function, not sooner than after
//     Queue.StaleAfter (one minute), and one interval of its schedule later at most.
//     Only messages of the last poll wait longer: until their visibility ends.
//   - A poll that hangs is cancelled 10 s after its wait.
//   - Only a change from ALARM to OK removes a loop. An alarm that ends any other
//     way (it is deleted, or has no data and is OK then) leaves its loop until the
//     alarm was on and over once more.
//   - Clocks of functions are taken to differ by less than half of StaleAfter.
//   - A handler that does not stop when its context ends is killed by Lambda, and its
//     messages are redelivered.
//   - Without recursive_loop = "Allow" Lambda ends every loop after some 16 turns;
//     see below.
//
// # The protocol
//
// The token table (partition key queue: the queue's URL, sort key token) has an
// item for each loop that should run: loop_id, iteration, claim, last_used
// (milliseconds). The item #loops of a queue has the count of its tokens, and
// #alarm/ARN the state of an alarm.
//
//   - A turn is claimed by one conditional write: the token exists, its loop_id is
//     mine, its iteration is mine; iteration becomes the next, claim an id of this
//     execution, last_used now. So a turn runs once, however often Lambda delivers
//     or retries its event: the second execution fails the condition and ends.
//   - A condition that failed ends the loop: [ErrGone], [ErrTakenOver],
//     [ErrDuplicate]. A write that failed (throttled, lost) does not: the turn is
//     started once more, and no message is polled meanwhile. If the write took
//     effect after all, the same turn started again recognises the claim.
//   - While a turn runs, heartbeats set last_used on the condition that loop_id and
//     claim are mine. Their failures are reported and end nothing; but a loop whose
//     heartbeats have failed for half of StaleAfter polls only after one succeeds. A
//     running handler is not interrupted.
//   - Restart gives a token whose last_used is older than StaleAfter a new loop_id,
//     on the condition that loop_id, iteration and last_used are as they were read:
//     of two restarts one wins, and a running loop has changed them. The old loop, if
//     it was only paused, fails its next condition, and changes neither the token nor
//     the new loop; it still deletes what it has handled, as it should.
//   - If Lambda does not start the next turn, the execution claims and runs it
//     itself, which shuts out the event should it arrive late, and tries again;
//     when its time is up it sets last_used to 0, and the next restart starts a new loop.
//   - Scaling writes count and token in one transaction, on the condition that the
//     count is below the maximum or above the minimum. Two scale-downs that both
//     see two loops cannot both succeed.
//   - An alarm adds one loop when it changes to ALARM and removes that one when it
//     changes from ALARM to OK. The same transaction stores the time of the change, so
//     that a repeated or late notification does nothing; and what was never added
//     (ALARM lost, or at the maximum) is never removed.
//
// Messages are deleted after the handler succeeded, in batches whose failed entries
// are tried again. The others are redelivered when their visibility ends. A loop
// writes no dead letters: give each queue a redrive policy, so that SQS moves a
// message to a dead-letter queue after maxReceiveCount receives, also one that kills
// its handler.
//
// # Environment
//
//	LOOP_QUEUES     the queues, as ParseQueues reads them, or file:PATH of a file in
//	                the function's archive (Lambda has room for 4 KB). Required.
//	LOOP_TABLE      the token table, default banyan-loops
//	LOOP_FUNCTION   alias ARN (or name) of the polling function; required by the
//	                other three. The polling function starts the alias by which it
//	                was invoked, so that a deployment takes over with the next turn.
//	RECURSE_AFTER   how long a turn polls, default 30s; 0s: one poll a turn
//	LOG_LEVEL       debug, info (default), warn or error
//
// The polling function writes the metrics Received, Deleted, Failed,
// Undeleted and Problems to the namespace Banyan/Operations, dimension Queue; the
// others LoopsAdded, LoopsDeleted and LoopsRestarted, where there were any. A queue
// whose loops are restarted repeatedly has a handler that kills them.
//
// # Wiring
//
// The table: keys queue (S) and token (S), on demand, point-in-time recovery not
// needed: after it is deleted, the restart function starts new loops.
//
//	function            timeout  memory  invoked by                           asynchronous
//	sqsloop             300 s    128 MB  itself, scale-up, restart             retries 0, age 60 s
//	sqsloop-scale-up    30 s     128 MB  SNS topics "up" (lambda permission)    retries 2
//	sqsloop-scale-down  30 s     128 MB  SNS topics "down" (lambda permission)  retries 2
//	sqsloop-restart     60 s     128 MB  EventBridge schedule rate(1 minute)   retries 0, age 60 s
//
// Retries of sqsloop are harmless (a turn runs once) and useless. Twice its
// timeout bounds what a handler may take: a turn begins no poll after half of its
// time. Set its reserved concurrency to the sum of the queues' max plus a few for
// turns that overlap: that is what bounds a mistake, now that Lambda does not.
//
// Lambda's recursive loop detection drops an event that is the 17th or so of a
// chain of invocations of the same function, which the SDK marks in the trace
// header, directly invoked functions included. A loop is meant to be one. Allow it,
// for sqsloop alone:
//
//	resource "aws_lambda_function_recursion_config" "sqsloop" {
//	  function_name  = "sqsloop"
//	  recursive_loop = "Allow"
//	}
//
// (PutFunctionRecursionConfig, of the function and not of a version; applying
// it requires lambda:PutFunctionRecursionConfig and
// lambda:GetFunctionRecursionConfig.) Where it is forgotten, the loops still run,
// from restart to restart, and the metric AWS/Lambda RecursiveInvocationsDropped
// shows it: alarm on it. Handlers are invoked under a new trace for each batch, so
// that they are not part of the chain and keep their own detection.
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
//
// Alarms for each queue, staggered, each of them one more loop: namespace AWS/SQS,
// ApproximateNumberOfMessagesVisible with the dimension QueueName, say above 1,000,
// 5,000 and 20,000 for 3 periods of 60 s, treat_missing_data notBreaching (an idle
// queue has no metrics), alarm_actions the topic "up", ok_actions the
// topic "down", both in the region of the queue. One alarm
// besides, for people: ApproximateAgeOfOldestMessage.
//
// IAM, besides each function's own log group; QUEUE is each queue of LOOP_QUEUES,
// FUNCTION the polling function's alias, TABLE the token table:
//
//	sqsloop             sqs:ReceiveMessage, sqs:DeleteMessage,
//	                    sqs:ChangeMessageVisibility   on QUEUE (the batch forms need the same)
//	                    dynamodb:UpdateItem           on TABLE
//	                    lambda:InvokeFunction         on FUNCTION and each handler
//	sqsloop-scale-up    dynamodb:UpdateItem, dynamodb:PutItem (within TransactWriteItems)  on TABLE
//	                    lambda:InvokeFunction         on FUNCTION
//	sqsloop-scale-down  dynamodb:Query, dynamodb:UpdateItem, dynamodb:DeleteItem           on TABLE
//	sqsloop-restart     dynamodb:Query, dynamodb:UpdateItem, dynamodb:PutItem,
//	                    dynamodb:DeleteItem           on TABLE
//	                    lambda:InvokeFunction         on FUNCTION
//
// Queues and tables under a key of one's own need kms:Decrypt and
// kms:GenerateDataKey on it.
//
// # Cost
//
// A loop is paid for while it waits: about 4.65 dollars a month with 128 MB, where an
// idle mapping costs 0.26 (us-east-1, November 2026). Messages cost the same in both.
// A handler inside the polling function (see [Poll]) saves its own invocations, which
// outweighs the waiting only where a loop is busy nearly all the time.
package sqsloop
