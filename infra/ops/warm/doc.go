// Package warm keeps execution environments of Lambda functions ready, by pings
// that their handlers recognise and answer at once.
//
// Caveats first. Provisioned concurrency is the better choice where an alias must
// never be slow at first: it is a guarantee, pings are not. Lambda ends
// environments when it likes, a deployment begins with cold ones until the next
// ping, and more requests at once than there are warm environments meet a cold one
// all the same. Pings cost little; use them where a cold start now and then is a
// nuisance and not a fault, in front of people: APIs of low traffic. Consumers of a
// stream do not need them: no client waits for a batch, and each shard keeps its
// environment warm by itself.
//
// Only a function whose handler is wrapped with [Handler] or [Wrap] may be named, as
// those of package lambdahttp are: any other takes a ping for an event. The
// keep-warm function sends one ping first, and no more to a function that does not
// answer as the wrapper does, or cannot start.
//
// # How n environments are reached
//
// An environment handles one request at a time. The pinger sends n pings at once,
// and each holds its environment for Hold, so that the others find it taken and
// get another. The answers name their environments; where fewer than n are among
// them, the pings are repeated once with twice the hold.
//
// A ping that is throttled found the function at the limit of its concurrency: it
// is busy, thus warm. It is not sent again.
//
// # Not an event
//
// A ping is the JSON object {"banyan-warm":{...}} with no other member. What
// clients send to a function behind API Gateway, a function URL, SNS, SQS,
// EventBridge or a stream arrives inside of other members, so no outside client can
// make an event look like a ping. The wrapper answers in front of the handler:
// nothing is decoded, logged or counted there, and no business metric sees it. The
// platform's metrics (Invocations, Duration) do; the pinger's own metrics say how
// many.
//
// # Wiring
//
// Function keep-warm (infra/ops/warm/cmd/keep-warm), 128 MB, timeout 60 s, a
// schedule of rate(5 minutes) with any input, and an EventInvokeConfig with
// MaximumRetryAttempts 0 and MaximumEventAgeInSeconds 60: a late ping is
// worthless. Alarm on the metric Misunderstood.
//
// Environment:
//
//	WARM_FUNCTIONS   what to keep warm, and how many of each: users:live=3,posts:live=2;
//	                 a name or ARN, with an alias where callers use one; =1 may be left out
//	WARM_HOLD        how long a ping holds its environment, default 200ms, at most 2s
//	LOG_LEVEL        debug, info (default), warn or error
//
// IAM, besides the function's own log group:
//
//	lambda:InvokeFunction   each function or alias in WARM_FUNCTIONS, by its ARN
//
// Metrics, in the namespace Banyan/Operations with the dimension Warmed (the
// function as named): Environments (different ones that answered), Cold (those of
// them that had just started), Busy, Failures, Misunderstood.
package warm
