package deploy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/banyan-fig/banyan/infra/awserr"
	"github.com/banyan-fig/banyan/infra/backoff"
)

// latest is the version that is uploaded to.
const latest = "$LATEST"

// Target is an alias of a function.
type Target struct {
	Function string `json:"function"`
	Alias    string `json:"alias"`
}

func (t Target) String() string { return t.Function + ":" + t.Alias }

// AliasState is the versions that an alias points to. The zero value is an alias that does not
// exist.
type AliasState struct {
	// Version takes what the others leave.
	Version string `json:"version"`
	// Next is the newer of two versions, and takes Percent of the invocations, while a
	// deployment is under way or was left, or Lambda holds the newer one back until it has
	// its provisioned concurrency; otherwise it is empty. Which of both has the weight in the
	// API makes no difference here: promote goes to the newer one, rollback to the older.
	Next    string `json:"next,omitempty"`
	Percent int    `json:"percent,omitempty"`
	// Before is the version that was there before, where the alias still knows.
	Before string `json:"before,omitempty"`

	revision string
}

// Stable reports whether one version takes everything.
func (s AliasState) Stable() bool { return s.Next == "" }

func (s AliasState) String() string {
	switch {
	case s.Version == "":
		return "nowhere"
	case !s.Stable():
		return fmt.Sprintf("version %s, with %d %% to version %s", s.Version, s.Percent, s.Next)
	case s.Before != "":
		return fmt.Sprintf("version %s (before: %s)", s.Version, s.Before)
	}
	return "version " + s.Version
}

func aliasState(version, revision *string, routing *types.AliasRoutingConfiguration) AliasState {
	s := AliasState{Version: aws.ToString(version), revision: aws.ToString(revision)}
	if routing == nil {
		return s
	}
	for other, weight := range routing.AdditionalVersionWeights { // at most one
		if weight > 0 {
			s.Next, s.Percent = other, max(int(math.Round(weight*100)), 1)
		} else {
			s.Before = other
		}
	}
	return s.oldestFirst()
}

// oldestFirst is the same state with the newer version as Next.
func (s AliasState) oldestFirst() AliasState {
	version, err := strconv.Atoi(s.Version)
	next, errNext := strconv.Atoi(s.Next)
	if err == nil && errNext == nil && next < version {
		return s.towards(s.Version)
	}
	return s
}

// towards is the same state with version, which is one of the two, as Next.
func (s AliasState) towards(version string) AliasState {
	if s.Next != "" && s.Version == version {
		s.Version, s.Next, s.Percent = s.Next, s.Version, 100-s.Percent
	}
	return s
}

// routing is the reverse of standing.
func (s AliasState) routing() *types.AliasRoutingConfiguration {
	weights := map[string]float64{}
	switch {
	case s.Next != "":
		weights[s.Next] = float64(s.Percent) / 100
	case s.Before != "" && s.Before != s.Version:
		weights[s.Before] = 0
	}
	return &types.AliasRoutingConfiguration{AdditionalVersionWeights: weights}
}

// Status reads the state of an alias. An alias or a function that is not there is
// [ErrRefused], with the names of the aliases that are.
func (d *Deployer) Status(ctx context.Context, t Target) (AliasState, error) {
	s, err := d.readAlias(ctx, t)
	if err == nil && s.Version == "" {
		err = d.noSuchAlias(ctx, t, "")
	}
	return s, err
}

// startingPoint is where a deployment begins: at an alias, or at none that may be made,
// because the configuration says so, or because the function has none at all.
func (d *Deployer) startingPoint(ctx context.Context, t Target) (AliasState, error) {
	s, err := d.readAlias(ctx, t)
	if err != nil || s.Version != "" || d.cfg.CreateAlias {
		return s, err
	}
	names, err := d.aliases(ctx, t.Function)
	if err != nil || len(names) == 0 {
		return s, err
	}
	return s, d.noSuchAlias(ctx, t, ". Name one of these, or make it (--create-alias)")
}

// noSuchAlias says that there is no such alias, and which there are.
func (d *Deployer) noSuchAlias(ctx context.Context, t Target, remedy string) error {
	names, err := d.aliases(ctx, t.Function)
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: there is no alias %s; the function's aliases are: %s%s", ErrRefused, t,
		cmp.Or(strings.Join(names, ", "), "none, deploy first"), remedy)
}

// aliases are the names of a function's aliases.
func (d *Deployer) aliases(ctx context.Context, function string) (names []string, err error) {
	in := &lambda.ListAliasesInput{FunctionName: &function}
	for {
		out, err := d.cfg.Functions.ListAliases(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the aliases of %s: %w", function, err)
		}
		for _, a := range out.Aliases {
			names = append(names, aws.ToString(a.Name))
		}
		if aws.ToString(out.NextMarker) == "" {
			return names, nil
		}
		in.Marker = out.NextMarker
	}
}

// readAlias reads the state of an alias; one that is not there is no error, a function
// that is not there is ErrRefused.
func (d *Deployer) readAlias(ctx context.Context, t Target) (AliasState, error) {
	out, err := d.cfg.Functions.GetAlias(ctx, &lambda.GetAliasInput{FunctionName: &t.Function, Name: &t.Alias})
	if isNotFound(err) {
		_, err = d.configuration(ctx, t, "")
		return AliasState{}, err
	}
	if err != nil {
		return AliasState{}, fmt.Errorf("read the alias %s: %w", t, err)
	}
	return aliasState(out.FunctionVersion, out.RevisionId, out.RoutingConfig), nil
}

// configuration reads that of a function, or of a version of it.
func (d *Deployer) configuration(ctx context.Context, t Target, version string) (*lambda.GetFunctionConfigurationOutput, error) {
	in := &lambda.GetFunctionConfigurationInput{FunctionName: &t.Function}
	if version != "" {
		in.Qualifier = &version
	}
	out, err := d.cfg.Functions.GetFunctionConfiguration(ctx, in)
	switch {
	case isNotFound(err) && version != "":
		return nil, fmt.Errorf("%w: there is no version %s of the function %s", ErrRefused, version, t.Function)
	case isNotFound(err):
		return nil, fmt.Errorf(
			"%w: there is no function %s in this account and region. Look for it with list; Terraform makes functions, deployments change their code",
			ErrRefused, t.Function)
	case err != nil:
		return nil, fmt.Errorf("read the function %s: %w", strings.TrimSpace(t.Function+" "+version), err)
	}
	return out, nil
}

// move changes an alias from where it was read to where it is to stand.
func (d *Deployer) move(ctx context.Context, t Target, from, to AliasState) (AliasState, error) {
	out, err := d.cfg.Functions.UpdateAlias(ctx, &lambda.UpdateAliasInput{
		FunctionName: &t.Function, Name: &t.Alias, RevisionId: &from.revision,
		FunctionVersion: &to.Version, RoutingConfig: to.routing(),
	})
	if err == nil {
		return aliasState(out.FunctionVersion, out.RevisionId, out.RoutingConfig), nil
	}
	if isFinal(err) && !isStale(err) {
		return from, fmt.Errorf("move the alias %s to %s: %w", t, to, err)
	}
	// A move whose answer was lost may have taken effect, and is refused then when
	// it is repeated. So the alias is read before the error names a conflict.
	now, readErr := d.readAliasWithRetries(ctx, t)
	switch {
	case readErr != nil:
		return from, fmt.Errorf("%w, from %s to %s: %w (%w); when AWS answers again, check with status, then continue with promote or go back with rollback",
			ErrUnknown, from, to, err, readErr)
	case now.same(to.oldestFirst()):
		return now, nil
	case now.revision == from.revision:
		return from, fmt.Errorf("move the alias %s to %s: %w", t, to, err)
	}
	return from, fmt.Errorf("%w: the alias %s was at %s and is at %s now; it was left there. Find out what moved it, then deploy again", ErrConflict, t, from, now)
}

// moveDelays are those between attempts at a move, or to read what became of one.
var moveDelays = backoff.Backoff{Min: 100 * time.Millisecond, Max: 3 * time.Second}

// readAliasWithRetries is readAlias, retried until Config.MoveTimeout is over.
func (d *Deployer) readAliasWithRetries(ctx context.Context, t Target) (now AliasState, err error) {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.MoveTimeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		now, err = d.readAlias(ctx, t)
		if err == nil || isFinal(err) || moveDelays.Wait(ctx, attempt) != nil {
			return now, err
		}
	}
}

func (s AliasState) same(as AliasState) bool {
	s.revision, as.revision = "", ""
	return s == as
}

// moveWithRetries is move, retried until Config.MoveTimeout is over: for the way back.
func (d *Deployer) moveWithRetries(ctx context.Context, t Target, from, to AliasState) (now AliasState, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.cfg.MoveTimeout)
	defer cancel()
	for attempt := 0; ; attempt++ {
		now, err = d.move(ctx, t, from, to)
		if err == nil || errors.Is(err, ErrConflict) || isFinal(err) || moveDelays.Wait(ctx, attempt) != nil {
			return now, err
		}
	}
}

// isFinal reports whether nothing took effect and another attempt cannot help.
func isFinal(err error) bool { return errors.Is(err, ErrRefused) || awserr.IsPermanent(err) }

// isStale reports whether the revision that a write went out from is not the newest,
// or the function is being changed.
func isStale(err error) bool {
	return awserr.Is(err, "PreconditionFailedException", "ResourceConflictException")
}

// isNotFound reports whether the function, version or alias does not exist.
func isNotFound(err error) bool { return awserr.Is(err, "ResourceNotFoundException") }
