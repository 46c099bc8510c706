package main

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/infra/ops/function"
)

// TestStart: the function is made of its settings, and refuses a secret that is none.
func TestStart(t *testing.T) {
	for secret, want := range map[string]string{"0123456789abcdef0123456789abcdef": "", "": "secret", "short": "secret"} {
		_, err := newAPI(function.Parts{
			AWS: aws.Config{Region: "us-east-1"}, Logger: slog.New(slog.DiscardHandler),
			Getenv: func(name string) string { return map[string]string{"BANYAN_JWT_SECRET": secret}[name] },
		})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), want)) {
			t.Errorf("secret %q: %v, want %q", secret, err, want)
		}
	}
}
