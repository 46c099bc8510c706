// Package secretsmanager is a stand-in for AWS Secrets Manager: the operations
// CreateSecret, GetSecretValue, PutSecretValue and DeleteSecret, over AWS JSON 1.1,
// and none of the others.
//
// Caveats first. There is no KMS: [Config.Refuse] is how a test plays a role or key
// that is refused. Of the versions of a secret the current one is kept, under the stage
// AWSCURRENT; other stages, rotation by functions, replication and policies do not
// exist. A deleted secret keeps its name until it is deleted by force.
//
// Names, limits and errors follow the API reference,
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/.
package secretsmanager
