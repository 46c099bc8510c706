// Package ssm is a stand-in for the Parameter Store of AWS Systems Manager: the
// operations PutParameter, GetParameters, GetParametersByPath and
// DeleteParameter, over AWS JSON 1.1, and none of the rest of SSM.
//
// Caveats first. There is no KMS: a SecureString that is read without decryption
// is a text that looks like ciphertext, and [Config.Refuse] is how a test plays a
// role or key that is refused. Labels, policies, advanced parameters and
// throughput limits do not exist; the sizes are those of standard parameters.
// Versions do, the last hundred of each parameter.
//
// Names, limits and errors follow the API reference,
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/.
package ssm
