// The suite is what a Lambda has to do to stand in for Amazon's, as
// far as functions are kept and described. It needs no function to run, so it
// can be held against implementations that only keep them.
//
// Caveats first. It runs against any endpoint, and leaves nothing behind there.
// The role must exist where roles are looked up. It asks for what AWS documents
// except where implementations that many use differ: the code of a conflict and
// the form of a time.

package lambda_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// suite is one run against one endpoint.
type suite struct {
	client *lambda.Client
	role   string
	prefix string // keeps runs apart
}

// conforms runs the suite with functions of the given role.
func conforms(t *testing.T, client *lambda.Client, role string) {
	s := suite{client: client, role: role, prefix: fmt.Sprintf("conform-%d-", time.Now().UnixNano())}
	for name, test := range map[string]func(*testing.T){
		"create and describe": s.createAndDescribe,
		"errors":              s.errors,
		"list":                s.list,
		"update":              s.update,
		"versions":            s.versions,
		"aliases":             s.aliases,
	} {
		t.Run(name, test)
	}
}

// code is an archive whose contents depend on the text.
func code(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	header := &zip.FileHeader{Name: "bootstrap", Method: zip.Deflate}
	header.SetMode(0o755)
	f, err := w.CreateHeader(header)
	if err == nil {
		_, err = f.Write([]byte("#!/bin/sh\n# " + text + "\n"))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (s suite) create(t *testing.T, name, text string) *lambda.CreateFunctionOutput {
	t.Helper()
	out, err := s.client.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String(s.prefix + name), Role: &s.role, Handler: aws.String("bootstrap"), Runtime: types.RuntimeProvidedal2023,
		Description: aws.String("first"), Timeout: aws.Int32(9), MemorySize: aws.Int32(256),
		Environment: &types.Environment{Variables: map[string]string{"A": "1"}},
		Code:        &types.FunctionCode{ZipFile: code(t, text)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_, _ = s.client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: aws.String(s.prefix + name)})
	})
	return out
}

func (s suite) name(name string) *string { return aws.String(s.prefix + name) }

func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code {
		t.Errorf("%s: got %v, want %s", what, err, code)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func (s suite) createAndDescribe(t *testing.T) {
	archive := code(t, "one")
	sum := sha256.Sum256(archive)
	created := s.create(t, "describe", "one")
	equal(t, "version", aws.ToString(created.Version), "$LATEST")
	equal(t, "name", aws.ToString(created.FunctionName), s.prefix+"describe")
	equal(t, "code hash", aws.ToString(created.CodeSha256), base64.StdEncoding.EncodeToString(sum[:]))
	equal(t, "code size", created.CodeSize, int64(len(archive)))
	for what, get := range map[string]string{"name": s.prefix + "describe", "arn": *created.FunctionArn} {
		got, err := s.client.GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: &get})
		if err != nil {
			t.Errorf("by %s: %v", what, err)
			continue
		}
		equal(t, "arn", aws.ToString(got.FunctionArn), aws.ToString(created.FunctionArn))
		equal(t, "handler", aws.ToString(got.Handler), "bootstrap")
		equal(t, "runtime", got.Runtime, types.RuntimeProvidedal2023)
		equal(t, "role", aws.ToString(got.Role), s.role)
		equal(t, "description", aws.ToString(got.Description), "first")
		equal(t, "timeout", aws.ToInt32(got.Timeout), 9)
		equal(t, "memory", aws.ToInt32(got.MemorySize), 256)
		equal(t, "variable", got.Environment.Variables["A"], "1")
		equal(t, "state", got.State, types.StateActive)
		equal(t, "package type", got.PackageType, types.PackageTypeZip)
		if _, err := time.Parse("2006-01-02T15:04:05", aws.ToString(got.LastModified)[:19]); err != nil {
			t.Errorf("last modified: %v", err)
		}
	}
	whole, err := s.client.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: s.name("describe")})
	if err != nil || aws.ToString(whole.Configuration.FunctionArn) != aws.ToString(created.FunctionArn) {
		t.Errorf("GetFunction: %v, %v", whole, err)
	}
}

func (s suite) errors(t *testing.T) {
	ctx := t.Context()
	_, err := s.client.GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: s.name("none")})
	wantCode(t, "GetFunction of none", err, "ResourceNotFoundException")
	_, err = s.client.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: s.name("none")})
	wantCode(t, "DeleteFunction of none", err, "ResourceNotFoundException")
	_, err = s.client.Invoke(ctx, &lambda.InvokeInput{FunctionName: s.name("none")})
	wantCode(t, "Invoke of none", err, "ResourceNotFoundException")
	_, err = s.client.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: s.name("none")})
	wantCode(t, "UpdateFunctionConfiguration of none", err, "ResourceNotFoundException")
	s.create(t, "twice", "one")
	_, err = s.client.CreateFunction(ctx, &lambda.CreateFunctionInput{
		FunctionName: s.name("twice"), Role: &s.role, Handler: aws.String("h"), Runtime: types.RuntimeProvidedal2023,
		Code: &types.FunctionCode{ZipFile: code(t, "two")},
	})
	wantCode(t, "CreateFunction again", err, "ResourceConflictException")
}

func (s suite) list(t *testing.T) {
	s.create(t, "list-a", "one")
	s.create(t, "list-b", "one")
	var found []string
	pages := lambda.NewListFunctionsPaginator(s.client, &lambda.ListFunctionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range page.Functions {
			found = append(found, *f.FunctionName)
		}
	}
	for _, name := range []string{"list-a", "list-b"} {
		if !slices.Contains(found, s.prefix+name) {
			t.Errorf("%s is not in %v", name, found)
		}
	}
}

func (s suite) update(t *testing.T) {
	before := s.create(t, "update", "one")
	changed, err := s.client.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{
		FunctionName: s.name("update"), Timeout: aws.Int32(30),
		Environment: &types.Environment{Variables: map[string]string{"B": "2"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "timeout", aws.ToInt32(changed.Timeout), 30)
	equal(t, "memory", aws.ToInt32(changed.MemorySize), 256)
	equal(t, "number of variables", len(changed.Environment.Variables), 1)
	equal(t, "variable", changed.Environment.Variables["B"], "2")
	equal(t, "code", aws.ToString(changed.CodeSha256), aws.ToString(before.CodeSha256))
	updated, err := s.client.UpdateFunctionCode(t.Context(), &lambda.UpdateFunctionCodeInput{
		FunctionName: s.name("update"), ZipFile: code(t, "two"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if aws.ToString(updated.CodeSha256) == aws.ToString(before.CodeSha256) {
		t.Error("the code has not changed")
	}
	equal(t, "timeout after the code", aws.ToInt32(updated.Timeout), 30)
}

func (s suite) versions(t *testing.T) {
	s.create(t, "versions", "one")
	ctx := t.Context()
	first, err := s.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: s.name("versions"), Description: aws.String("v1")})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "first version", aws.ToString(first.Version), "1")
	equal(t, "description", aws.ToString(first.Description), "v1")
	if _, err = s.client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{FunctionName: s.name("versions"), ZipFile: code(t, "two")}); err != nil {
		t.Fatal(err)
	}
	second, err := s.client.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: s.name("versions")})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "second version", aws.ToString(second.Version), "2")
	kept, err := s.client.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: s.name("versions"), Qualifier: aws.String("1")})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "code of version 1", aws.ToString(kept.CodeSha256), aws.ToString(first.CodeSha256))
	listed, err := s.client.ListVersionsByFunction(ctx, &lambda.ListVersionsByFunctionInput{FunctionName: s.name("versions")})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range listed.Versions {
		names = append(names, *v.Version)
	}
	if !slices.Equal(names, []string{"$LATEST", "1", "2"}) {
		t.Errorf("versions are %v", names)
	}
}

func (s suite) aliases(t *testing.T) {
	s.create(t, "aliases", "one")
	ctx := t.Context()
	for n := range 2 {
		if _, err := s.client.UpdateFunctionCode(ctx, &lambda.UpdateFunctionCodeInput{
			FunctionName: s.name("aliases"), ZipFile: code(t, fmt.Sprint("code", n)), Publish: true,
		}); err != nil {
			t.Fatal(err)
		}
	}
	created, err := s.client.CreateAlias(ctx, &lambda.CreateAliasInput{
		FunctionName: s.name("aliases"), Name: aws.String("live"), FunctionVersion: aws.String("1"), Description: aws.String("d"),
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "version", aws.ToString(created.FunctionVersion), "1")
	_, err = s.client.CreateAlias(ctx, &lambda.CreateAliasInput{
		FunctionName: s.name("aliases"), Name: aws.String("live"), FunctionVersion: aws.String("1"),
	})
	var conflict *smithyhttp.ResponseError
	if !errors.As(err, &conflict) || conflict.HTTPStatusCode() != http.StatusConflict {
		t.Errorf("CreateAlias again: got %v, want a conflict", err)
	}
	routed, err := s.client.UpdateAlias(ctx, &lambda.UpdateAliasInput{
		FunctionName: s.name("aliases"), Name: aws.String("live"), FunctionVersion: aws.String("2"),
		RoutingConfig: &types.AliasRoutingConfiguration{AdditionalVersionWeights: map[string]float64{"1": 0.25}},
	})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "version", aws.ToString(routed.FunctionVersion), "2")
	equal(t, "weight", routed.RoutingConfig.AdditionalVersionWeights["1"], 0.25)
	got, err := s.client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: s.name("aliases"), Name: aws.String("live")})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "arn", aws.ToString(got.AliasArn), aws.ToString(created.AliasArn))
	equal(t, "description", aws.ToString(got.Description), "d")
	listed, err := s.client.ListAliases(ctx, &lambda.ListAliasesInput{FunctionName: s.name("aliases")})
	if err != nil || len(listed.Aliases) != 1 {
		t.Errorf("ListAliases: %v, %v", listed, err)
	}
	_, err = s.client.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: s.name("aliases"), Name: aws.String("none")})
	wantCode(t, "GetAlias of none", err, "ResourceNotFoundException")
}
