package sandbox

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// The services, by the names that the fault plan and [Sandbox.Embedded] use.
const (
	Kinesis    = "kinesis"
	DynamoDB   = "dynamodb"
	SQS        = "sqs"
	Lambda     = "lambda"
	CloudWatch = "cloudwatch"
	Logs       = "logs" // CloudWatch Logs
	SSM        = "ssm"  // its Parameter Store
	Secrets    = "secretsmanager"
	MongoDB    = "mongodb"
)

const (
	endpointURL    = "AWS_ENDPOINT_URL"
	ignoreURLs     = "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"
	mongoURI       = "MONGODB_URI"
	accessKey      = "AWS_ACCESS_KEY_ID"
	secretKey      = "AWS_SECRET_ACCESS_KEY"
	sessionToken   = "AWS_SESSION_TOKEN"
	region         = "AWS_REGION"
	otherRegion    = "AWS_DEFAULT_REGION" // what the SDKs of other languages read
	defaultRegion  = "us-east-1"
	account        = "000000000000"
	legacyDatabase = "legacy"
)

// serviceURLs are the variables by which the SDK finds one service.
var serviceURLs = map[string]string{
	Kinesis:    "AWS_ENDPOINT_URL_KINESIS",
	DynamoDB:   "AWS_ENDPOINT_URL_DYNAMODB",
	SQS:        "AWS_ENDPOINT_URL_SQS",
	Lambda:     "AWS_ENDPOINT_URL_LAMBDA",
	CloudWatch: "AWS_ENDPOINT_URL_CLOUDWATCH",
	Logs:       "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS",
	SSM:        "AWS_ENDPOINT_URL_SSM",
	Secrets:    "AWS_ENDPOINT_URL_SECRETS_MANAGER",
}

const streamsURL = "AWS_ENDPOINT_URL_DYNAMODB_STREAMS"

// passedOn is what of the user's environment Env repeats, in its order.
var passedOn = []string{
	endpointURL, serviceURLs[CloudWatch], serviceURLs[DynamoDB], streamsURL, serviceURLs[Kinesis], serviceURLs[Lambda],
	serviceURLs[Logs], serviceURLs[SQS], serviceURLs[SSM], serviceURLs[Secrets],
	region, otherRegion, accessKey, secretKey, sessionToken, mongoURI,
}

// environment is the user's, by name. Empty values count as not set.
type environment map[string]string

func newEnvironment(environ []string) environment {
	e := environment{}
	for _, kv := range environ {
		if name, value, _ := strings.Cut(kv, "="); value != "" {
			e[name] = value
		}
	}
	return e
}

// Services lists all there are, sorted.
func Services() []string { return environment{}.embeds() }

// embeds lists the services for which the user has no server, sorted.
func (e environment) embeds() []string {
	var out []string
	if e[endpointURL] == "" {
		for service, name := range serviceURLs {
			if e[name] == "" {
				out = append(out, service)
			}
		}
	}
	if e[mongoURI] == "" {
		out = append(out, MongoDB)
	}
	slices.Sort(out)
	return out
}

// region is the user's, or the sandbox's.
func (e environment) region() string {
	for _, name := range []string{region, otherRegion} {
		if e[name] != "" {
			return e[name]
		}
	}
	return defaultRegion
}

// with adds the sandbox's own variables, given the addresses of what is
// embedded ("" for nothing).
func (e environment) with(awsURL, mongo string) ([]string, error) {
	own := environment{region: e.region(), otherRegion: e.region()}
	if awsURL != "" {
		own[endpointURL] = awsURL
		own[accessKey], own[secretKey] = "local", "local"
	}
	if mongo != "" {
		uri, err := withDatabase(mongo)
		if err != nil {
			return nil, err
		}
		own[mongoURI] = uri
	}
	var out []string
	for _, name := range passedOn {
		value := e[name]
		if value == "" && !(e[accessKey] != "" && (name == secretKey || name == accessKey)) {
			value = own[name]
		}
		if value != "" {
			out = append(out, name+"="+value)
		}
	}
	if awsURL != "" && e[ignoreURLs] != "" {
		out = append(out, ignoreURLs+"=false") // or the SDK would go to AWS
	}
	return out, nil
}

// withDatabase names the default database in a URI's path.
func withDatabase(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return "", fmt.Errorf("sandbox: the address of MongoDB: %w", err)
	}
	u.Path = "/" + legacyDatabase
	return u.String(), nil
}
