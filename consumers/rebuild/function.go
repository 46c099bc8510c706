package rebuild

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

// FunctionAPI is what looking at a function needs of *lambda.Client.
type FunctionAPI interface {
	GetFunctionConfiguration(
		context.Context, *lambda.GetFunctionConfigurationInput, ...func(*lambda.Options)) (*lambda.GetFunctionConfigurationOutput, error)
	lambda.ListEventSourceMappingsAPIClient
}

// ErrFunction is returned for a function that must not be replayed to.
var ErrFunction = errors.New("the function cannot build the table")

// CheckFunction fails unless by a function's variables it writes to table, and not to live.
func CheckFunction(ctx context.Context, client FunctionAPI, function, table, live string) error {
	out, err := client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		return fmt.Errorf("find function %s: %w", function, err)
	}
	var variables map[string]string
	if out.Environment != nil {
		variables = out.Environment.Variables
	}
	values := slices.Collect(maps.Values(variables))
	switch {
	case slices.Contains(values, live):
		return fmt.Errorf("%w: a variable of %s names %s, which is live: deploy another function for %s", ErrFunction, function, live, table)
	case !slices.Contains(values, table):
		return fmt.Errorf("%w: no variable of %s names %s: set the one of its table", ErrFunction, function, table)
	}
	return nil
}

// IsFed reports whether a mapping delivers a stream, or a consumer of it, to a function.
func IsFed(ctx context.Context, client FunctionAPI, function, streamARN string) (bool, error) {
	pages := lambda.NewListEventSourceMappingsPaginator(client, &lambda.ListEventSourceMappingsInput{FunctionName: &function})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return false, fmt.Errorf("list the mappings of function %s: %w", function, err)
		}
		if slices.ContainsFunc(page.EventSourceMappings, func(m types.EventSourceMappingConfiguration) bool {
			state, source := aws.ToString(m.State), aws.ToString(m.EventSourceArn)
			return (source == streamARN || strings.HasPrefix(source, streamARN+"/consumer/")) && slices.Contains(fed, state)
		}) {
			return true, nil
		}
	}
	return false, nil
}

// fed are the states in which a mapping delivers, or will.
var fed = []string{"Enabled", "Enabling", "Creating", "Updating"}
