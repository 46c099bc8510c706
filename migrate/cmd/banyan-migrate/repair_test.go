package main

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/banyan-fig/banyan/infra/dynamo"
)

// tamper deletes an item, which has a unique entry.
func (s *stores) tamper() {
	s.t.Helper()
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &s.aws, Credentials: credentials.NewStaticCredentialsProvider("a", "b", "")})
	all, err := client.Scan(s.t.Context(), &dynamodb.ScanInput{TableName: aws.String("users"), Limit: aws.Int32(1)})
	if err == nil {
		_, err = client.DeleteItem(s.t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("users"), Key: dynamo.Item{"id": all.Items[0]["id"]}})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// TestRepairWritesWhatVerifyFinds: verify and the rehearsal of repair find what differs and
// leave it, repair writes it.
func TestRepairWritesWhatVerifyFinds(t *testing.T) {
	s := start(t)
	s.seed(20)
	for _, args := range []string{"init", "encapsulate --watch 1ms --no-members --accept-gap", "run --until shadowing"} {
		expect(t, 0, "", args)
	}
	s.tamper()
	expect(t, exitFound, "2 mismatches, 0 repaired", "verify")
	expect(t, exitFound, "2 mismatches, 0 repaired", "repair --dry-run")
	expect(t, 0, "0 mismatches, ", "repair")
	expect(t, 0, "0 mismatches, 0 repaired", "verify")
}
