package opensearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/infra/config"
)

// FromEnvironment makes the client that the environment describes:
//
//	OPENSEARCH_URL        http or https URL of the domain
//	OPENSEARCH_AUTH       iam (default; signed for the Amazon OpenSearch Service), basic or none
//	OPENSEARCH_USER       with basic: the user, itself or a reference (see package config)
//	OPENSEARCH_PASSWORD   the same
//
// Its error names every variable that is wrong. settings must live as long as the client.
func FromEnvironment(settings *config.Settings, getenv func(string) string, sdk aws.Config) (*Client, error) {
	sign, err := signer(settings, getenv, sdk)
	client, invalid := New(Config{URL: getenv("OPENSEARCH_URL"), Sign: sign})
	if invalid != nil {
		err = errors.Join(err, errors.New("OPENSEARCH_URL must be the http or https URL of the domain")) // which may hold a password
	}
	return client, err
}

type signFunc = func(context.Context, *http.Request, []byte) error

func signer(settings *config.Settings, getenv func(string) string, sdk aws.Config) (signFunc, error) {
	switch auth := getenv("OPENSEARCH_AUTH"); auth {
	case "", "iam":
		return SigV4(sdk.Credentials, sdk.Region, time.Now), nil
	case "basic":
		return basic(settings, getenv)
	case "none":
		return nil, nil
	default:
		return nil, fmt.Errorf("invalid OPENSEARCH_AUTH %q: must be iam, basic or none", auth)
	}
}

// basic reads user and password, each given as itself or as a reference.
func basic(settings *config.Settings, getenv func(string) string) (signFunc, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	read := map[string]func(context.Context) (string, error){}
	var errs []error
	for _, name := range []string{"OPENSEARCH_USER", "OPENSEARCH_PASSWORD"} {
		if getenv(name) == "" {
			errs = append(errs, fmt.Errorf("%s must be set", name))
			continue
		}
		secret, err := settings.Secret(ctx, name, getenv(name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		read[name] = func(ctx context.Context) (string, error) {
			value, err := secret.Get(ctx)
			return value.Reveal(), err
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return Basic(func(ctx context.Context) (string, string, error) {
		user, err := read["OPENSEARCH_USER"](ctx)
		if err != nil {
			return "", "", err
		}
		password, err := read["OPENSEARCH_PASSWORD"](ctx)
		return user, password, err
	}), nil
}
