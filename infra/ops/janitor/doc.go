// Package janitor deletes the versions of Lambda functions and layers that
// nothing refers to, so that the code storage of a region (75 GB by default)
// does not fill up with deployments of the past.
//
// Caveats first. A version that is invoked by its number, without an alias, looks
// unused: list its function in Except. The same holds for everything outside of
// Lambda that names a version's ARN: targets of EventBridge
// rules and schedules, subscriptions of SNS, notifications of S3, filters of log
// groups, integrations of API Gateway, target groups, Step Functions, Cognito,
// AppSync, IoT rules, and callers with an ARN in their settings. Function URLs are
// safe: they belong to $LATEST or an alias. So are replicas of Lambda@Edge, whose
// deletion Lambda refuses. A layer version that an organisation was allowed to
// use is kept, but one that is named in a template only is not seen. A
// deletion cannot be undone: begin with a dry run.
//
// # Aliases
//
// Where each deployment makes an alias of its own, the aliases keep all versions. So
// with JANITOR_ALIAS_DAYS those go that are behind the newest JANITOR_ALIAS_KEEP of
// their function, point to a version that is older than so many days, were invoked
// by nobody in that time (AWS/Lambda Invocations of the alias), have no
// weights, and are named by no mapping and no provisioned concurrency. What is
// only invoked once in a longer time has to be excepted by name; live, which the Terraform
// modules make, is, unless JANITOR_ALIAS_EXCEPT says otherwise. Lambda notes no times of aliases, hence
// the version's. An alias is read again right before it is deleted; one that changed
// stays. Lambda has no conditional deletion, so one that moves after that is lost, with its
// name: deployments by banyan-deploy move aliases that are in use, which are invoked.
//
// # What is kept
//
// Of a function: $LATEST; what an alias points to, by its main version or by its
// routing weights; what an event source mapping or a provisioned concurrency
// names; the newest Keep versions (to roll back to); and all younger than Grace.
// Of a layer: what a version of any function has; what has a policy, so that
// other accounts may use it; the newest Keep, and all younger than Grace.
//
// # Races
//
// Aliases are read again right before each version is deleted, mappings and
// provisioned concurrency once before the versions of a function. An alias
// that moves after that is protected by Lambda, which does not delete a version that an
// alias refers to. Such a refusal, like that for a replica of Lambda@Edge, is reported,
// and the sweep continues. A mapping or a provisioned concurrency made in that
// instant loses its version, which is old by then: it is neither young nor one of
// the newest. Two janitors at once do no harm: what was deleted before is not counted
// again, but a layer version that both delete in the same instant is, since Lambda
// answers alike; a deletion whose answer was lost is not counted at all.
//
// # Throttling and time
//
// Lambda's control plane allows 15 requests a second of an account and region,
// deployments among them; the janitor paces itself to Rate. When it is throttled
// all the same, the sweep ends there, without retries, and is not a failure: a
// failed event would be redelivered at once, into the throttle. It stops before its
// deadline in the same way.
//
// What is left of the list stays in memory, with the place inside the function or
// layer, and the next invocation of the same execution environment resumes there. A
// new environment begins at a random place of the list, so that its end is
// reached however often that happens. No table is needed: the order of deletions does
// not matter, only that every version is reached.
//
// Dry runs have a place of their own and check everything, in as many invocations as
// that takes. In a dry run, layers of versions that would be deleted count as used.
//
// # Wiring
//
// Function janitor (infra/ops/janitor/cmd/janitor), 128 MB, timeout 300 s or more
// (the last 5 s of it are for the end, so that it does little in 10), reserved
// concurrency 1, a schedule such as rate(1 hour) with any input ({"dryRun":true}
// for a rehearsal), and an EventInvokeConfig with MaximumRetryAttempts 0 and
// MaximumEventAgeInSeconds 3600. Alarm on the metric Failures, on a sum of
// Looked below 1 in a day, and on Errors of the function. The metrics' dimension
// Function is the name under which it is deployed. One per region.
//
// Environment:
//
//	JANITOR_KEEP     newest versions that are kept of each, default 3
//	JANITOR_GRACE    age below which all are kept, default 24h
//	JANITOR_ALIAS_DAYS    age after which an alias that nobody invokes goes; unset: none does
//	JANITOR_ALIAS_KEEP    aliases that are kept of each function, default 10
//	JANITOR_ALIAS_EXCEPT  names of aliases that stay, comma-separated, * allowed, default live
//	JANITOR_EXCEPT   names of functions and layers not to sweep, comma-separated, * allowed
//	JANITOR_RATE     requests a second, default 5
//	JANITOR_DRY_RUN  true: delete nothing, report what would be
//	LOG_LEVEL        debug, info (default), warn or error
//
// IAM, besides the function's own log group:
//
//	lambda:ListFunctions                       *  (has no resources)
//	lambda:ListEventSourceMappings             *  (has no resources)
//	lambda:ListLayers                          *  (has no resources)
//	cloudwatch:GetMetricData                   *  (has no resources)
//	lambda:ListVersionsByFunction              arn:aws:lambda:REGION:ACCOUNT:function:*
//	lambda:ListAliases                         arn:aws:lambda:REGION:ACCOUNT:function:*
//	lambda:ListProvisionedConcurrencyConfigs   arn:aws:lambda:REGION:ACCOUNT:function:*
//	lambda:GetAlias                            arn:aws:lambda:REGION:ACCOUNT:function:*
//	lambda:DeleteAlias                         arn:aws:lambda:REGION:ACCOUNT:function:*
//	lambda:DeleteFunction                      arn:aws:lambda:REGION:ACCOUNT:function:*
//	lambda:ListLayerVersions                   arn:aws:lambda:REGION:ACCOUNT:layer:*
//	lambda:GetLayerVersion                     arn:aws:lambda:REGION:ACCOUNT:layer:*:*
//	lambda:GetLayerVersionPolicy               arn:aws:lambda:REGION:ACCOUNT:layer:*:*
//	lambda:DeleteLayerVersion                  arn:aws:lambda:REGION:ACCOUNT:layer:*:*
//
// The permission to delete versions is that to delete functions: IAM has one action. The
// package has one place that calls it, which takes a number for the version.
//
// Metrics, in the namespace Banyan/Operations with the dimension Function:
// VersionsDeleted, LayerVersionsDeleted, BytesFreed, AliasesDeleted, Refused, Failures, Throttled
// (0 or 1), Looked (functions and layers that were checked) and Remaining; in a dry run VersionsFound, LayerVersionsFound,
// BytesFound and AliasesFound instead of the first four; a version that only such an
// alias names is not found then.
package janitor
