package config

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"golang.org/x/sync/errgroup"
)

// Limits of GetParameters and GetParametersByPath, and ours.
const (
	batchSize = 10
	pageSize  = 10
	maxPages  = 100 // of a path: 1,000 parameters
	atOnce    = 4   // calls
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
	plain, secure := make([]key, 0, len(keys)), make([]key, 0, len(keys))
	for _, k := range keys {
		switch {
		case k.kind == path:
			f.calls.Go(func() error { f.put(k, f.readPath(ctx, k)); return nil })
		case k.kind == secret:
			f.calls.Go(func() error { f.put(k, f.readSecret(ctx, k)); return nil })
		case k.decrypt:
			secure = append(secure, k)
		default:
			plain = append(plain, k)
		}
	}
	for _, some := range [][]key{plain, secure} {
		for batch := range slices.Chunk(some, batchSize) {
			f.calls.Go(func() error { f.readParameters(ctx, batch); return nil })
		}
	}
	_ = f.calls.Wait() // errors are outcomes
	return f.got
}

func (f *flight) put(k key, o outcome) {
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
			f.put(k, outcome{err: explain(err, k)})
		case !ok:
			f.put(k, outcome{err: fmt.Errorf("read %s: %w: %s", k, ErrNotFound, advice(ErrNotFound, k))})
		default:
			f.put(k, outcome{value: v})
		}
	}
}

// ofOneName tells whether an error may be about one name of several.
func ofOneName(err error) bool {
	kind := kindOf(err)
	return kind == ErrDenied || kind == ErrKey || kind == ErrReference || kind == ErrNotFound
}

// parameters returns what was found, by the names as they were asked for.
func (f *flight) parameters(ctx context.Context, batch []key) (map[string]value, error) {
	ctx, cancel := context.WithTimeout(ctx, f.c.cfg.Timeout)
	defer cancel()
	names := make([]string, len(batch))
	for i, k := range batch {
		names[i] = k.name
	}
	out, err := f.c.cfg.Parameters.GetParameters(ctx, &ssm.GetParametersInput{Names: names, WithDecryption: aws.Bool(batch[0].decrypt)})
	if err != nil {
		return nil, err
	}
	found := make(map[string]value, 2*len(names))
	for _, p := range out.Parameters {
		v := valueOf(p, batch[0].decrypt)
		found[aws.ToString(p.Name)+aws.ToString(p.Selector)] = v
		found[fmt.Sprintf("%s:%d", aws.ToString(p.Name), p.Version)] = v
		found[aws.ToString(p.ARN)+aws.ToString(p.Selector)] = v
	}
	return found, nil
}

func valueOf(p types.Parameter, decrypted bool) value {
	if p.Type == types.ParameterTypeSecureString && !decrypted {
		return value{secure: true} // what comes is the ciphertext
	}
	return value{text: aws.ToString(p.Value)}
}

// errTooLong is of a path that has more than can be sensibly kept.
var errTooLong = fmt.Errorf("there are more than %d parameters; name a longer path", maxPages*pageSize)

func (f *flight) readPath(ctx context.Context, k key) outcome {
	below := map[string]string{}
	var token *string
	for range maxPages {
		out, err := f.page(ctx, k, token)
		if err != nil {
			return outcome{err: explain(err, k)}
		}
		for _, p := range out.Parameters {
			if v := valueOf(p, k.decrypt); !v.secure {
				below[aws.ToString(p.Name)] = v.text
			}
		}
		if token = out.NextToken; aws.ToString(token) == "" {
			return outcome{value: value{below: below}}
		}
	}
	return outcome{err: fmt.Errorf("read %s: %w: %w", k, ErrTooMany, errTooLong)}
}

func (f *flight) page(ctx context.Context, k key, token *string) (*ssm.GetParametersByPathOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, f.c.cfg.Timeout)
	defer cancel()
	return f.c.cfg.Parameters.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{
		Path: &k.name, Recursive: aws.Bool(true), WithDecryption: &k.decrypt, MaxResults: aws.Int32(pageSize), NextToken: token,
	})
}

func (f *flight) readSecret(ctx context.Context, k key) outcome {
	ctx, cancel := context.WithTimeout(ctx, f.c.cfg.Timeout)
	defer cancel()
	out, err := f.c.cfg.Secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &k.name})
	if err != nil {
		return outcome{err: explain(err, k)}
	}
	if out.SecretString == nil {
		return outcome{value: value{text: string(out.SecretBinary)}}
	}
	return outcome{value: value{text: *out.SecretString}}
}
