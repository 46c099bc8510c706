// Package settings stands in for where AWS keeps settings: the Parameter Store of
// Systems Manager (PutParameter, GetParameters, DeleteParameter) and Secrets Manager
// (CreateSecret, GetSecretValue, PutSecretValue, DeleteSecret), over AWS JSON 1.1, and
// nothing else of either. [NewParameters] and [NewSecrets] make an http.Handler each.
//
// Caveats first. There is no KMS: a SecureString that is read without decryption is a
// text that looks like ciphertext, and [Config.Refuse] is how a test plays a role or a
// key that is refused. Parameters have versions but no labels, policies or tiers; of a
// secret there is the version AWSCURRENT alone. A deleted secret keeps its name until
// it is deleted by force.
//
// Names, limits and errors follow the API references,
// https://docs.aws.amazon.com/systems-manager/latest/APIReference/ and
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/.
package settings

import (
	"cmp"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Config of either service. The zero value works.
type Config struct {
	// Region and Account appear in ARNs; "" means us-east-1 and 000000000000.
	Region, Account string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Fault is asked before every call; nil injects nothing.
	Fault func(operation, resource string) fault.Fault
	// Refuse is asked for each name that is read, decrypted or not, whether the role
	// may; an error fails the whole call, as in AWS. nil lets everybody.
	Refuse func(name string, decrypt bool) *awsjson.Error
}

func (c Config) withDefaults() Config {
	c.Region = cmp.Or(c.Region, "us-east-1")
	c.Account = cmp.Or(c.Account, "000000000000")
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Refuse == nil {
		c.Refuse = func(string, bool) *awsjson.Error { return nil }
	}
	return c
}
