// Package deploy builds functions reproducibly and brings one of them at a time
// into use: its code as a version, and an alias moved to that in weighted steps
// while alarms are watched.
//
// Caveats first:
//
//   - Code only. Environment variables, memory, time-out and permissions are
//     Terraform's; what it has changed since the last version takes effect with
//     the next deployment, since that publishes $LATEST as a whole.
//   - A deployment is as safe as its alarms are quick. An alarm whose periods are
//     minutes needs steps that last several of them.
//   - At an alias with provisioned concurrency Lambda holds a new version back until it
//     has that there. A deployment, a promotion and a rollback wait for it
//     (Config.ProvisionTimeout), and fail where it does not come. Such an alias keeps no
//     weight of 0 for the version before, since Lambda refuses to scale its concurrency
//     while there are weights: a rollback needs the version (--to).
//   - At weights between 0 and 100 % a mapping's batches go to both versions, and
//     the batches of one shard may alternate between them: both have to
//     understand what the other one writes.
//   - Alarms that cannot be read turn a deployment back like a raised one, when
//     Config.AlarmOutage is over.
//   - After a move that AWS does not answer the alias is read until Config.MoveTimeout is over;
//     then it is unknown whether the alias moved, and the error says so.
//   - A process that is killed leaves the alias where it is. Both versions go on
//     being invoked; promote continues, rollback goes back. One that gets a SIGINT,
//     a SIGTERM, or a SIGHUP because its terminal was closed, leaves it too, and
//     says so; with Config.RollbackOnInterrupt it moves back first. Under nohup a
//     closed terminal ends nothing.
//   - What calls the function without an alias, or by $LATEST, gets new code with
//     the upload. A deployment refuses where an event source mapping does that.
//
// # The alias is the state
//
// There is no other record of a deployment than the alias:
//
//	version 6                        stable
//	version 6, 10 % to version 7     between the two: in use, or left by a killed process
//	version 7,  0 % to version 6     stable; 6 was before and is where a rollback goes
//
// Of two versions the higher number is the newer one, whichever has the weight and whoever
// set it: version 7 with 60 % to version 6 is 40 % of a deployment of 7. promote
// continues to 7, rollback goes to 6.
//
// The weight of 0 keeps the version before from the janitor, which leaves what an
// alias refers to. Nothing that Terraform manages is written: it ignores an
// alias's version and routing.
//
// # Two at once
//
// Each write says which revision it goes out from (RevisionId), so of two
// processes one is refused by Lambda, with [ErrConflict], and has changed
// nothing since: an upload that was overtaken is not published, and an alias that
// another process moved is left alone, also by a rollback. A deployment that finds
// an alias between two versions does not begin ([ErrInProgress]).
//
// # Which alarms are watched
//
// Unless some are named: those whose names begin with the function's and "-", as
// the Terraform modules name them. Of these, another function's do not count,
// lest the alarm of timeline-api turns back a deployment of timeline. Whose one is
//
//   - its metrics say, where a dimension FunctionName names a function: its own
//     metric, or those of its expression;
//   - otherwise its name says: the function of the region with the longest name
//     that the alarm's begins with, followed by "-". So an API's, a queue's or a
//     composite alarm called timeline-api-failing is that of timeline-api, if there
//     is such a function, even if somebody means it for timeline: name it.
//
// An alarm that is raised in normal work is to be ignored by name (Watch.Ignore),
// or those that count are to be named. Those by which sqs-loop scales have names
// that begin otherwise.
//
// An alarm that rises and falls between two checks counts as well: where the time of its
// last change is another one, its history says what it went through.
//
// A deployment prints which alarms it watches, and which it leaves to which function. Alarms that
// are found by a prefix that somebody gave are all watched.
//
// # Permissions
//
// On the function and its versions and aliases:
//
//	lambda:GetFunctionConfiguration  lambda:UpdateFunctionCode  lambda:PublishVersion
//	lambda:GetAlias  lambda:CreateAlias  lambda:UpdateAlias  lambda:ListAliases
//	lambda:ListProvisionedConcurrencyConfigs
//
// Without a resource to restrict them to: lambda:ListEventSourceMappings;
// cloudwatch:DescribeAlarms and, on the alarms, cloudwatch:DescribeAlarmHistory; and lambda:ListFunctions, for list, and for a
// deployment that finds an alarm whose metrics name no function. One that is given
// its alarms by name or prefix does without.
package deploy
