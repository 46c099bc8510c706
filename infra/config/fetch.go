package config

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"golang.org/x/sync/errgroup"
)

// Limits of GetParameters, and ours.
const (
	batchSize = 10
	atOnce    = 4 // calls
)

// flight collects the outcomes of calls that run side by side.
type flight struct {
	c     *Client
	calls errgroup.Group

	mu  sync.Mutex
	got map[key]outcome
}

// fetch reads all keys, each by as few calls as can be. Every key gets an outcome.
func (c *Client) fetch(ctx context.Context, keys []key) map[key]outcome {
	f := &flight{c: c, got: make(map[key]outcome, len(keys))}
	f.calls.SetLimit(atOnce)
	parameters := make([]key, 0, len(keys))
	for _, k := range keys {
		if k.kind == parameter {
			parameters = append(parameters, k)
			continue
		}
		f.calls.Go(func() error { f.record(k, f.readSecret(ctx, k)); return nil })
	}
	for batch := range slices.Chunk(parameters, batchSize) {
		f.calls.Go(func() error { f.readParameters(ctx, batch); return nil })
	}
	_ = f.calls.Wait() // errors are outcomes
	return f.got
}

func (f *flight) record(k key, o outcome) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.got[k] = o
}

// readParameters reads up to ten. If one of them is refused the whole call is, so
// they are read one by one then: a mistake with one name must not age the others.
func (f *flight) readParameters(ctx context.Context, batch []key) {
	found, err := f.parameters(ctx, batch)
	if err != nil && len(batch) > 1 && ofOneName(err) {
		for _, k := range batch {
			f.readParameters(ctx, []key{k})
		}
		return
	}
	for _, k := range batch {
		v, ok := found[k.name]
		switch {
		case err != nil:
			f.record(k, outcome{err: explain(err, k)})
		case !ok:
			f.record(k, outcome{err: fmt.Errorf("read %s: %w: %s", k, ErrNotFound, advice(ErrNotFound, k))})
		default:
			f.record(k, outcome{value: v})
		}
	}
}

// ofOneName reports whether an error may be about one name of several.
func ofOneName(err error) bool {
	kind := kindOf(err)
	return kind == ErrDenied || kind == ErrKey || kind == ErrReference || kind == ErrNotFound
}

// parameters returns what was found, by the names as they were asked for.
func (f *flight) parameters(ctx context.Context, batch []key) (map[string]string, error) {
	ctx, cancel := context.WithTimeout(ctx, f.c.cfg.Timeout)
	defer cancel()
	names := make([]string, len(batch))
	for i, k := range batch {
		names[i] = k.name
	}
	out, err := f.c.cfg.Parameters.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
	if err != nil {
		return nil, err
	}
	found := make(map[string]string, 2*len(names))
	for _, p := range out.Parameters {
		v := aws.ToString(p.Value)
		found[aws.ToString(p.Name)+aws.ToString(p.Selector)] = v
		found[fmt.Sprintf("%s:%d", aws.ToString(p.Name), p.Version)] = v
		found[aws.ToString(p.ARN)+aws.ToString(p.Selector)] = v
	}
	return found, nil
}

func (f *flight) readSecret(ctx context.Context, k key) outcome {
	ctx, cancel := context.WithTimeout(ctx, f.c.cfg.Timeout)
	defer cancel()
	out, err := f.c.cfg.Secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &k.name})
	if err != nil {
		return outcome{err: explain(err, k)}
	}
	if out.SecretString == nil {
		return outcome{value: string(out.SecretBinary)}
	}
	return outcome{value: *out.SecretString}
}
