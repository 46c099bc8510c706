package sandbox_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/banyan-fig/banyan/infra/sandbox"
)

func start(t *testing.T, cfg sandbox.Config) *sandbox.Sandbox {
	t.Helper()
	if cfg.Environ == nil {
		cfg.Environ = []string{}
	}
	cfg.Dir = t.TempDir()
	s, err := sandbox.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func vars(s *sandbox.Sandbox) map[string]string {
	out := map[string]string{}
	for _, kv := range s.Env() {
		name, value, _ := strings.Cut(kv, "=")
		out[name] = value
	}
	return out
}

// TestUserServersAreNotEmbedded: whoever names a server gets that one.
func TestUserServersAreNotEmbedded(t *testing.T) {
	tests := []struct {
		name     string
		environ  []string
		embedded []string
		want     map[string]string // "*" is any value
		without  []string
	}{
		{
			"nothing is set", nil,
			[]string{"cloudwatch", "dynamodb", "kinesis", "lambda", "logs", "mongodb", "secretsmanager", "sqs", "ssm"},
			map[string]string{"AWS_ENDPOINT_URL": "*", "AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1",
				"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "MONGODB_URI": "*"},
			[]string{"AWS_SESSION_TOKEN", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"},
		},
		{
			"all of AWS is theirs", []string{"AWS_ENDPOINT_URL=http://theirs", "AWS_PROFILE=work"},
			[]string{"mongodb"},
			map[string]string{"AWS_ENDPOINT_URL": "http://theirs", "MONGODB_URI": "*", "AWS_REGION": "us-east-1"},
			[]string{"AWS_ACCESS_KEY_ID"},
		},
		{
			"two services are theirs", []string{"AWS_ENDPOINT_URL_KINESIS=http://theirs", "AWS_ENDPOINT_URL_CLOUDWATCH=http://theirs too",
				"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=b"},
			[]string{"dynamodb", "lambda", "logs", "mongodb", "secretsmanager", "sqs", "ssm"},
			map[string]string{"AWS_ENDPOINT_URL": "*", "AWS_ENDPOINT_URL_KINESIS": "http://theirs",
				"AWS_ENDPOINT_URL_CLOUDWATCH": "http://theirs too", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
			nil,
		},
		{
			"MongoDB is theirs", []string{"MONGODB_URI=mongodb://theirs/db"},
			[]string{"cloudwatch", "dynamodb", "kinesis", "lambda", "logs", "secretsmanager", "sqs", "ssm"},
			map[string]string{"MONGODB_URI": "mongodb://theirs/db"},
			nil,
		},
		{
			"everything is theirs", []string{"AWS_ENDPOINT_URL=http://theirs", "MONGODB_URI=mongodb://theirs/db", "AWS_SESSION_TOKEN=t"},
			nil,
			map[string]string{"AWS_ENDPOINT_URL": "http://theirs", "MONGODB_URI": "mongodb://theirs/db", "AWS_SESSION_TOKEN": "t"},
			[]string{"AWS_ACCESS_KEY_ID"},
		},
		{
			"empty variables are not set", []string{"AWS_ENDPOINT_URL=", "MONGODB_URI="},
			[]string{"cloudwatch", "dynamodb", "kinesis", "lambda", "logs", "mongodb", "secretsmanager", "sqs", "ssm"}, nil, nil,
		},
		{
			"configured endpoints are switched off", []string{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true", "AWS_DEFAULT_REGION=eu-north-1"},
			[]string{"cloudwatch", "dynamodb", "kinesis", "lambda", "logs", "mongodb", "secretsmanager", "sqs", "ssm"},
			map[string]string{"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false", "AWS_REGION": "eu-north-1"}, nil,
		},
		{
			"one key without the other stays the user's error", []string{"AWS_ACCESS_KEY_ID=a"},
			[]string{"cloudwatch", "dynamodb", "kinesis", "lambda", "logs", "mongodb", "secretsmanager", "sqs", "ssm"},
			map[string]string{"AWS_ACCESS_KEY_ID": "a"}, []string{"AWS_SECRET_ACCESS_KEY"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := start(t, sandbox.Config{Environ: slices.Concat([]string{}, test.environ)})
			if got := s.Embedded(); !slices.Equal(got, test.embedded) {
				t.Errorf("embedded %q, want %q", got, test.embedded)
			}
			got := vars(s)
			for name, want := range test.want {
				if got[name] != want && (want != "*" || got[name] == "") {
					t.Errorf("%s=%s, want %s", name, got[name], want)
				}
			}
			for _, name := range test.without {
				if value, ok := got[name]; ok {
					t.Errorf("%s=%s, want it not set", name, value)
				}
			}
		})
	}
}

func TestMongoURINamesADatabase(t *testing.T) {
	uri := vars(start(t, sandbox.Config{}))["MONGODB_URI"]
	if !strings.HasPrefix(uri, "mongodb://127.0.0.1:") || !strings.Contains(uri, "/legacy?") {
		t.Errorf("MONGODB_URI=%s", uri)
	}
}
