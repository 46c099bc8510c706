package lambda

import (
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// clients are what event source mappings reach other services with: the same
// servers that functions reach, by the same variables.
type clients struct {
	transport *http.Transport
	kinesis   *kinesis.Client
	dynamodb  *dynamodbstreams.Client
	sqs       *sqs.Client
}

func newClients(cfg Config) *clients {
	c := &clients{transport: http.DefaultTransport.(*http.Transport).Clone()}
	c.transport.MaxIdleConnsPerHost = 64
	env := cfg.Env
	base := aws.Config{
		Region: cfg.Region, Credentials: credentials(env), HTTPClient: &http.Client{Transport: c.transport},
		RetryMaxAttempts: 1, // a mapping has its own pauses, and must not sit in a client's
	}
	c.kinesis = kinesis.NewFromConfig(base, func(o *kinesis.Options) { endpoint(&o.BaseEndpoint, env, "KINESIS") })
	c.dynamodb = dynamodbstreams.NewFromConfig(base, func(o *dynamodbstreams.Options) {
		endpoint(&o.BaseEndpoint, env, "DYNAMODB_STREAMS")
	})
	c.sqs = sqs.NewFromConfig(base, func(o *sqs.Options) { endpoint(&o.BaseEndpoint, env, "SQS") })
	return c
}

func (c *clients) close() { c.transport.CloseIdleConnections() }

// endpoint sets what Config.Env names; else the process's own environment
// counts, as the SDK reads it.
func endpoint(to **string, env []string, service string) {
	for _, name := range []string{variableEndpointURL + "_" + service, variableEndpointURL} {
		if url := lookup(env, name); url != "" {
			*to = &url
			return
		}
	}
}

// credentials come from Config.Env; without them, any will do for a sandbox.
func credentials(env []string) aws.CredentialsProvider {
	key, secret := lookup(env, variableAccessKey), lookup(env, variableSecretKey)
	fill(&key, sandboxAccessKey)
	fill(&secret, sandboxAccessKey)
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret, SessionToken: lookup(env, "AWS_SESSION_TOKEN"),
			Source: "sandbox"}, nil
	})
}
