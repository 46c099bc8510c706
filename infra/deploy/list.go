package deploy

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// Running is one version that an alias invokes.
type Running struct {
	Target
	Version string `json:"version"`
	// Percent of the alias's invocations. The version before the last deployment
	// has 0.
	Percent int `json:"percent"`
	// Published is when the version was made.
	Published    time.Time `json:"published"`
	Architecture string    `json:"architecture"`
	// Code is the SHA-256 of its archive in base64.
	Code string `json:"codeSha256"`
	// Commit is where it was built from, if its deployment said so.
	Commit string `json:"commit,omitempty"`
}

// List returns what runs where: all aliases of the functions whose name begins with
// prefix, in the order in which Lambda names them. A function without an alias has
// one entry without, of $LATEST.
func (d *Deployer) List(ctx context.Context, prefix string) ([]Running, error) {
	var all []Running
	err := d.eachFunction(ctx, func(name string) (err error) {
		if strings.HasPrefix(name, prefix) {
			all, err = d.listFunction(ctx, name, all)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (d *Deployer) listFunction(ctx context.Context, name string, all []Running) ([]Running, error) {
	in := &lambda.ListAliasesInput{FunctionName: &name}
	known, before := map[string]Running{}, len(all)
	for {
		out, err := d.cfg.Functions.ListAliases(ctx, in)
		if isNotFound(err) {
			return all, nil // it was deleted meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("list the aliases of %s: %w", name, err)
		}
		for _, a := range out.Aliases {
			t := Target{name, aws.ToString(a.Name)}
			for _, r := range aliasState(a.FunctionVersion, a.RevisionId, a.RoutingConfig).shares() {
				if known[r.Version], err = d.describe(ctx, t, r.Version, known); err != nil {
					return nil, err
				}
				found := known[r.Version]
				found.Target, found.Percent = t, r.Percent
				all = append(all, found)
			}
		}
		if aws.ToString(out.NextMarker) != "" {
			in.Marker = out.NextMarker
			continue
		}
		if len(all) > before {
			return all, nil
		}
		r, err := d.describe(ctx, Target{Function: name}, latest, known)
		r.Target, r.Percent = Target{Function: name}, 100
		return append(all, r), err
	}
}

// shares are the versions of a standing with their percentages.
func (s AliasState) shares() []Running {
	out := []Running{{Version: s.Version, Percent: 100 - s.Percent}}
	if s.Next != "" {
		out = append(out, Running{Version: s.Next, Percent: s.Percent})
	}
	if s.Before != "" {
		out = append(out, Running{Version: s.Before})
	}
	return out
}

func (d *Deployer) describe(ctx context.Context, t Target, version string, known map[string]Running) (Running, error) {
	if r, found := known[version]; found {
		return r, nil
	}
	out, err := d.cfg.Functions.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &t.Function, Qualifier: &version})
	if err != nil {
		return Running{}, fmt.Errorf("read version %s of %s: %w", version, t.Function, err)
	}
	r := Running{Version: version, Code: aws.ToString(out.CodeSha256), Commit: commitOf(aws.ToString(out.Description))}
	if len(out.Architectures) > 0 {
		r.Architecture = string(out.Architectures[0])
	}
	r.Published, _ = time.Parse("2006-01-02T15:04:05.999-0700", aws.ToString(out.LastModified)) // a time that cannot be read is shown as none
	return r, nil
}
