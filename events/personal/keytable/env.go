package keytable

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"github.com/banyan-fig/banyan/events/personal"
)

// DefaultTable is the name of the table where the environment names none.
const DefaultTable = "banyan-subject-keys"

// FromEnv makes a Table of what the environment says, and makes sure that it exists:
//
//	SUBJECT_KEYS_TABLE    the table, default banyan-subject-keys
//	SUBJECT_KEYS_KMS      id, ARN or alias of the KMS key that wraps the keys, default none
//	SUBJECT_KEYS_MAX_AGE  see Config.MaxAge, default 1m
//
// Its result is a [personal.Keys], so that it can be function.Spec.Keys.
func FromEnv(ctx context.Context, sdk aws.Config, getenv func(string) string) (personal.Keys, error) {
	age, err := time.ParseDuration(cmp.Or(getenv("SUBJECT_KEYS_MAX_AGE"), DefaultMaxAge.String()))
	if err != nil || age <= 0 {
		return nil, fmt.Errorf("SUBJECT_KEYS_MAX_AGE must be a duration such as 1m, not %q", getenv("SUBJECT_KEYS_MAX_AGE"))
	}
	return Open(ctx, sdk, cmp.Or(getenv("SUBJECT_KEYS_TABLE"), DefaultTable), getenv("SUBJECT_KEYS_KMS"), age)
}

// Open makes a Table, with a KMS key unless that is "", and makes sure that the table exists.
func Open(ctx context.Context, sdk aws.Config, name, kmsKey string, maxAge time.Duration) (*Table, error) {
	client := dynamodb.NewFromConfig(sdk)
	if _, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name}); err != nil {
		return nil, fmt.Errorf("table of keys %q cannot be used (create it, or set SUBJECT_KEYS_TABLE): %w", name, err)
	}
	cfg := Config{Client: client, Name: name, MaxAge: maxAge}
	if kmsKey != "" {
		cfg.Wrapper = KMS{Client: kms.NewFromConfig(sdk), Key: kmsKey}
	}
	return New(cfg)
}
