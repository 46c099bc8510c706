package config

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/banyan-fig/banyan/infra/awssdk"
	"github.com/banyan-fig/banyan/infra/telemetry/emf"
)

// Settings are the settings of a program, each given as its value or as a
// reference. The AWS configuration is loaded with the first reference only. It is
// safe for concurrent use; end it with Close.
type Settings struct {
	mu     sync.Mutex
	client *Client
	open   func(context.Context) (*Client, error)
}

// NewSettings reads references by the SDK's own configuration, with
// BANYAN_CONFIG_TTL and BANYAN_CONFIG_MAX_STALE as durations, such as 30s.
func NewSettings() *Settings { return &Settings{open: fromEnvironment} }

// WithClient is settings whose references client reads; Close closes it.
func WithClient(client *Client) *Settings { return &Settings{client: client} }

func fromEnvironment(ctx context.Context) (*Client, error) {
	var cfg Config
	for name, into := range map[string]*time.Duration{"BANYAN_CONFIG_TTL": &cfg.TTL, "BANYAN_CONFIG_MAX_STALE": &cfg.MaxStale} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("%s must be a duration, such as 30s, not %q", name, text)
		}
		*into = d
	}
	sdk, err := awssdk.Load(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Parameters, cfg.Secrets = ssm.NewFromConfig(sdk), secretsmanager.NewFromConfig(sdk)
	return New(cfg)
}

// Secret resolves the setting called name, which is given as value: value itself,
// or what it refers to. A reference must be readable now. name is for errors.
func (s *Settings) Secret(ctx context.Context, name, value string) (*Setting, error) {
	if !IsReference(value) {
		return Given(name, value), nil
	}
	r, err := ParseReference(value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	client, err := s.reader(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s refers to %s: %w", name, r, err)
	}
	if _, err := client.Secret(ctx, r); err != nil {
		return nil, fmt.Errorf("%s refers to %s: %w", name, r, err)
	}
	changed, end, err := client.Subscribe(r)
	if err != nil {
		return nil, fmt.Errorf("%s refers to %s: %w", name, r, err)
	}
	return &Setting{name: name, reference: r, client: client, changed: changed, end: end}, nil
}

func (s *Settings) reader(ctx context.Context) (*Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		return s.client, nil
	}
	var err error
	s.client, err = s.open(ctx)
	return s.client, err
}

// Metrics are the figures of the references in use, for a function to write with its others:
// SettingAge, of the value that was last read well the longest ago, and SettingFailures, how
// many cannot be read now. nil where there are no references.
func (s *Settings) Metrics() []emf.Metric {
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	if client == nil {
		return nil
	}
	age, failures := time.Duration(0), 0
	for _, status := range client.Status() {
		age = max(age, status.Age)
		if status.Err != nil {
			failures++
		}
	}
	return []emf.Metric{
		{Name: "SettingAge", Unit: emf.Milliseconds, Value: float64(age.Milliseconds())},
		{Name: "SettingFailures", Unit: emf.Count, Value: float64(failures)},
	}
}

// Close ends the readings. It is safe on nil.
func (s *Settings) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client != nil {
		s.client.Close()
	}
}

// Setting is one setting. It is safe for concurrent use.
type Setting struct {
	name      string
	given     Secret
	reference Reference
	client    *Client // nil for a given value
	changed   <-chan struct{}
	end       func()
}

// Given is a setting that never changes.
func Given(name, value string) *Setting { return &Setting{name: name, given: NewSecret(value)} }

// Fixed reports whether the setting was given as its value, and so never changes.
func (s *Setting) Fixed() bool { return s.client == nil }

// Get returns the value in force, see Client.Secret.
func (s *Setting) Get(ctx context.Context) (Secret, error) {
	if s.Fixed() {
		return s.given, nil
	}
	return s.named(s.client.Secret(ctx, s.reference))
}

// Refresh reads the value now, see Client.Refresh.
func (s *Setting) Refresh(ctx context.Context) (Secret, error) {
	if s.Fixed() {
		return s.given, nil
	}
	return s.named(s.client.Refresh(ctx, s.reference))
}

func (s *Setting) named(v Secret, err error) (Secret, error) {
	if err != nil {
		return v, fmt.Errorf("%s: %w", s.name, err)
	}
	return v, nil
}

// Changed is sent to after the value changed; nil, which never is, for a given
// value. It is for one receiver.
func (s *Setting) Changed() <-chan struct{} { return s.changed }

// Close ends the subscription.
func (s *Setting) Close() {
	if s.end != nil {
		s.end()
	}
}
