// Package config gives programs their settings from AWS's Parameter Store (SSM)
// and Secrets Manager, under the same names as on a laptop.
//
// A setting, such as MONGODB_URI, is either its value or a reference to it:
//
//	MONGODB_URI=mongodb://127.0.0.1:27017/legacy     the value itself
//	MONGODB_URI=ssm:/banyan/prod/mongodb-uri         a parameter, plain or SecureString
//	MONGODB_URI=secret:banyan/prod/mongodb           a secret
//	MONGODB_URI=secret:banyan/prod/mongodb#uri       a member of a secret that is JSON
//
// Whatever begins with "ssm:" or "secret:" is a reference. Programs go the same way
// with both ([Settings.Secret]); a program without references needs no AWS. A parameter
// may be named with a version or label ("ssm:/banyan/prod/x:3"), or by its ARN.
//
// Caveats first:
//
//   - Values are read at the start, then anew every TTL, by one goroutine. A change
//     is seen after one TTL, or at once after [Setting.Refresh].
//   - While the source cannot be reached or refuses, the last good value is in force,
//     forever unless MaxStale is set. The log says so, again every 10 minutes;
//     [Client.Status] and [Settings.Metrics] report how old it is.
//     A program that starts at such a time does not.
//   - A value that was deleted at the source stays in force as well: deleting is no
//     way to take back a secret, replacing is.
//   - Redaction keeps a [Secret] out of logs, not out of memory.
//   - In a Lambda function the goroutine sleeps with the process. An old value is
//     then renewed by the first Get, which waits for it no longer than Patience.
//
// BANYAN_CONFIG_TTL (default 1m) and BANYAN_CONFIG_MAX_STALE (default: no bound)
// are how operators set these for programs that use [NewSettings].
//
// # Permissions
//
// Exactly these actions are used, all of them to read:
//
//   - ssm:GetParameters on
//     arn:aws:ssm:REGION:ACCOUNT:parameter/banyan/STAGE/*, or on each name;
//   - secretsmanager:GetSecretValue on
//     arn:aws:secretsmanager:REGION:ACCOUNT:secret:banyan/STAGE/NAME-??????, that is
//     the name, a hyphen and the six characters that AWS adds;
//   - kms:Decrypt on the customer managed keys with which these are encrypted, if
//     any; conditions: kms:ViaService = ssm.REGION.amazonaws.com with
//     kms:EncryptionContext:PARAMETER_ARN = the parameters' ARN, or
//     secretsmanager.REGION.amazonaws.com with kms:EncryptionContext:SecretARN = the
//     secret's ARN. The keys aws/ssm and aws/secretsmanager need no grant.
//
// Programs with MONGODB_URI as a reference: banyan-users, banyan-social, banyan-entity,
// banyan-monolith, banyan-publish, banyan-migrate. With BANYAN_JWT_SECRET: banyan-timeline,
// timeline-api, banyan-monolith. With ENTITY_TOKENS: banyan-entity. With the keys that a
// route file names: banyan-proxy.
package config
