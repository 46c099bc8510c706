package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/deploy"
	"github.com/banyan-fig/banyan/infra/sandbox/cloudwatch"
	lambdasandbox "github.com/banyan-fig/banyan/infra/sandbox/lambda"
)

// TestMain lets the tests run the command as a process of its own, to kill it.
func TestMain(m *testing.M) {
	if os.Getenv("BANYAN_DEPLOY_TEST_COMMAND") != "" {
		main()
	}
	os.Exit(m.Run())
}

// world is a Lambda with the function prod-alpha, and a folder that was built.
type world struct {
	t         *testing.T
	dist      string
	functions *lambda.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	host, err := lambdasandbox.New(lambdasandbox.Config{})
	if err != nil {
		t.Fatal(err)
	}
	alarms, err := cloudwatch.New(cloudwatch.Config{})
	if err != nil {
		t.Fatal(err)
	}
	api, metrics := httptest.NewServer(host), httptest.NewServer(alarms)
	t.Cleanup(func() { api.Close(); metrics.Close(); _ = host.Close(context.Background()) })
	w := &world{t: t, dist: t.TempDir()}
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_LAMBDA": api.URL, "AWS_ENDPOINT_URL_CLOUDWATCH": metrics.URL, "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "BANYAN_DEPLOY_DIST": w.dist,
	} {
		t.Setenv(name, value)
	}
	w.functions = lambda.New(
		lambda.Options{Region: "us-east-1", BaseEndpoint: &api.URL, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})},
	)
	_, err = w.functions.CreateFunction(t.Context(), &lambda.CreateFunctionInput{
		FunctionName: aws.String("prod-alpha"), Role: aws.String("arn:aws:iam::000000000000:role/function"), Runtime: types.RuntimeProvidedal2023,
		Handler: aws.String("bootstrap"), Code: &types.FunctionCode{ZipFile: w.build("zero")}, Architectures: []types.Architecture{types.ArchitectureArm64},
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// build writes a package named alpha with its manifest.
func (w *world) build(text string) []byte {
	w.t.Helper()
	zip, err := deploy.Pack([]byte("#!/bin/sh\n# " + text + "\n"))
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dist, "alpha.zip"), zip, 0o644)
	}
	var manifest []byte
	if err == nil {
		manifest, err = json.Marshal(
			deploy.Manifest{
				Commit:   text,
				Packages: []deploy.Artifact{{Name: "alpha", Architecture: "arm64", File: "alpha.zip", CodeSHA256: deploy.Digest(zip)}},
			},
		)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(w.dist, deploy.ManifestFile), manifest, 0o644)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return zip
}

func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(w.t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "BANYAN_DEPLOY_TEST_COMMAND=1")
	return cmd
}

// run returns what the command wrote, and its exit code.
func (w *world) run(args ...string) (out, notes string, code int) {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	code = command(&stdout, &stderr).Execute(w.t.Context(), args, &stdout, &stderr)
	return stdout.String(), stderr.String(), code
}

// interrupted starts a deployment and sends it a signal when the alias has moved.
// With SIGHUP, whoever read what it writes is gone, as with a closed terminal.
func (w *world) interrupted(signal syscall.Signal, args ...string) (code int) {
	w.t.Helper()
	// A process that listens to SIGHUP does not pass on that its own parent ignores
	// it, as nohup and service managers do.
	hangups := make(chan os.Signal, 1)
	ossignal.Notify(hangups, syscall.SIGHUP)
	defer ossignal.Stop(hangups)
	cmd := w.command(append([]string{"--json", "deploy", "prod-alpha", "--no-alarms", "--interval", "1m"}, args...)...)
	out, in, err := os.Pipe()
	if err != nil {
		w.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	in.Close()
	if err != nil {
		w.t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if !strings.Contains(lines.Text(), `"did":"moved"`) {
			continue
		}
		if signal == syscall.SIGHUP {
			out.Close()
		}
		if err := cmd.Process.Signal(signal); err != nil {
			w.t.Fatal(err)
		}
	}
	_ = cmd.Wait() // its code tells
	return cmd.ProcessState.ExitCode()
}

func TestAKilledDeploymentIsResumed(t *testing.T) {
	w := newWorld(t)
	w.build("one")
	if out, notes, code := w.run("deploy", "prod-alpha", "--no-alarms", "--interval", "0s"); code != 0 || out != "prod-alpha:live is at version 1\n" ||
		!strings.Contains(notes, "uploaded") {
		t.Fatalf("exit %d: %s%s", code, out, notes)
	}
	w.build("two")
	if code := w.interrupted(syscall.SIGKILL); code == 0 {
		t.Error("a killed process exits with 0")
	}
	if out, _, code := w.run("status", "prod-alpha"); code != 0 || !strings.Contains(out, "version 1, with 10 % to version 2") {
		t.Errorf("status, exit %d: %s", code, out)
	}
	w.build("three")
	if _, notes, code := w.run("deploy", "prod-alpha", "--no-alarms", "--interval", "0s"); code != 1 || !strings.Contains(notes, "promote") {
		t.Errorf("a deployment in the middle of another, exit %d: %s", code, notes)
	}
	if out, notes, code := w.run("promote", "prod-alpha", "--no-alarms", "--interval", "0s"); code != 0 || !strings.Contains(out, "version 2 (before: 1)") {
		t.Errorf("promote, exit %d: %s%s", code, out, notes)
	}
	if code := w.interrupted(syscall.SIGINT); code != 1 {
		t.Errorf("an interrupted one exits with %d", code)
	}
	if out, _, code := w.run("rollback", "prod-alpha"); code != 0 || out != "prod-alpha:live is at version 2\n" {
		t.Errorf("rollback, exit %d: %s", code, out)
	}
	if code := w.interrupted(syscall.SIGTERM, "--rollback-on-interrupt"); code != 1 {
		t.Errorf("an interrupted one that moves back exits with %d", code)
	}
	stable := func() {
		t.Helper()
		if out, _, code := w.run("--json", "status", "prod-alpha"); code != 0 || !strings.Contains(out, `"version":"2"`) ||
			!strings.Contains(out, `"stable":true`) {
			t.Errorf("status, exit %d: %s", code, out)
		}
	}
	stable()
	if code := w.interrupted(syscall.SIGHUP, "--rollback-on-interrupt"); code != 1 {
		t.Errorf("one that moves back when its terminal is closed exits with %d", code)
	}
	stable()
	if out, _, code := w.run("list", "prod-"); code != 0 || !strings.Contains(out, "prod-alpha") || !strings.Contains(out, "two") {
		t.Errorf("list, exit %d: %s", code, out)
	}
}

func TestExitCodes(t *testing.T) {
	w := newWorld(t)
	for _, test := range []struct {
		code int
		args []string
	}{
		{2, nil},
		{2, []string{"deploy"}},
		{2, []string{"deploy", "prod-alpha", "--steps", "50,10"}},
		{2, []string{"deploy", "prod-alpha", "--interval", "-1s"}},
		{2, []string{"deploy", "prod-alpha", "--no-alarms", "--alarm", "a"}},
		{2, []string{"deploy", "prod-alpha:live"}},
		{2, []string{"status", "prod-alpha", "--alias", "a b"}},
		{2, []string{"status", "prod-alpha", "--alias", "12"}},
		{2, []string{"promote", "prod-alpha", "--from", "12"}},
		{0, []string{"list"}},
		{0, []string{"list", "nobody-"}},
		{0, []string{"--help"}},
		{0, []string{"deploy", "prod-alpha", "--no-alarms", "--dry-run"}},
		{1, []string{"deploy", "prod-alpha"}}, // no alarms
		{1, []string{"deploy", "prod-beta"}},  // no package
		{1, []string{"status", "prod-alpha"}}, // no alias
		{1, []string{"rollback", "prod-alpha"}},
		{0, []string{"deploy", "prod-alpha", "--no-alarms", "--interval", "0s"}}, // its first alias
		{1, []string{"deploy", "prod-alpha", "--no-alarms", "--interval", "0s", "--alias", "lvie"}},
		{1, []string{"promote", "prod-alpha", "--no-alarms", "--interval", "0s", "--from", "live", "--alias", "prod"}},
		{0, []string{"promote", "prod-alpha", "--no-alarms", "--interval", "0s", "--from", "live", "--alias", "prod", "--create-alias"}},
	} {
		if out, notes, code := w.run(test.args...); code != test.code {
			t.Errorf("%q exits with %d: %s%s", test.args, code, out, notes)
		}
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, test := range []struct{ name, value, want string }{
		{"AWS_PROFILE", "absent", "profile"},
		{"AWS_ACCESS_KEY_ID", "", "AWS_ACCESS_KEY_ID"},
		{"AWS_REGION", "", "AWS_REGION"},
	} {
		t.Run("without "+test.want, func(t *testing.T) {
			t.Setenv(test.name, test.value)
			if _, notes, code := w.run("list"); code != 2 || !strings.Contains(notes, test.want) {
				t.Errorf("exit %d: %s", code, notes)
			}
		})
	}
}
