package lambda

import (
	"maps"
	"net/http"
	"slices"

	"github.com/google/uuid"
)

// alias is a name for a version, or for two of which one takes a share of the
// invocations.
type alias struct {
	name        string
	description string
	version     string
	weights     map[string]float64 // of other versions; at most one
	revision    string
}

type aliasInput struct {
	Name            string
	Description     *string
	FunctionVersion *string
	RevisionId      string
	RoutingConfig   *routing
}

type routing struct {
	AdditionalVersionWeights map[string]float64
}

type aliasOutput struct {
	AliasArn        string
	Description     string
	FunctionVersion string
	Name            string
	RevisionId      string
	RoutingConfig   *routing `json:",omitempty"`
}

// pick returns the version for a random number from 0 to 1.
func (a *alias) pick(random float64) string {
	for version, weight := range a.weights {
		if random < weight {
			return version
		}
	}
	return a.version
}

func (h *Host) describeAlias(f *function, a *alias) aliasOutput {
	out := aliasOutput{
		AliasArn: h.arn(f.name, a.name), Description: a.description, FunctionVersion: a.version, Name: a.name, RevisionId: a.revision,
	}
	if len(a.weights) > 0 {
		out.RoutingConfig = &routing{a.weights}
	}
	return out
}

func (h *Host) createAlias(r *http.Request) (int, any, error) {
	var in aliasInput
	f, unlock, err := h.lockFunction(r, &in)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	switch {
	case !aliasName.MatchString(in.Name) || versionName.MatchString(in.Name):
		return 0, nil, violates("1 validation error detected: Value '%s' at 'name' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)", in.Name)
	case f.aliases[in.Name] != nil:
		return 0, nil, conflict("Alias already exists: %s", h.arn(f.name, in.Name))
	case in.FunctionVersion == nil:
		return 0, nil, invalid("FunctionVersion is mandatory")
	}
	a, err := h.changeAlias(f, alias{name: in.Name}, in)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusCreated, a, nil
}

func (h *Host) updateAlias(r *http.Request) (int, any, error) {
	var in aliasInput
	f, unlock, err := h.lockFunction(r, &in)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	a := f.aliases[r.PathValue("alias")]
	if a == nil {
		return 0, nil, notFound("Cannot find alias arn: %s", h.arn(f.name, r.PathValue("alias")))
	}
	if in.RevisionId != "" && in.RevisionId != a.revision {
		return 0, nil, staleRevision()
	}
	out, err := h.changeAlias(f, *a, in)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, out, nil
}

// changeAlias checks and keeps an alias as it will be; mu is held.
func (h *Host) changeAlias(f *function, a alias, in aliasInput) (aliasOutput, error) {
	if in.Description != nil {
		a.description = *in.Description
	}
	if in.FunctionVersion != nil {
		a.version = *in.FunctionVersion
	}
	if in.RoutingConfig != nil {
		a.weights = in.RoutingConfig.AdditionalVersionWeights
	}
	if f.find(a.version) == nil || a.version == "" {
		return aliasOutput{}, notFound("Function not found: %s", h.arn(f.name, a.version))
	}
	if err := h.checkWeights(f, a); err != nil {
		return aliasOutput{}, err
	}
	a.revision = uuid.NewString()
	f.aliases[a.name] = &a
	return h.describeAlias(f, &a), nil
}

// checkWeights holds routing against the developer guide, "Implement Lambda
// canary deployments using a weighted alias": two published versions at most.
func (h *Host) checkWeights(f *function, a alias) error {
	if len(a.weights) > 1 {
		return invalid("Number of items in AdditionalVersionWeights cannot be greater than 1")
	}
	for version, weight := range a.weights {
		switch {
		case weight < 0 || weight > 1:
			return invalid("Value for provided weight %g is invalid. Weight must be a number between 0.0 and 1.0", weight)
		case a.version == latest || version == latest:
			return invalid("$LATEST is not supported for an alias pointing to more than 1 version")
		case version == a.version:
			return invalid("Invalid function version %s. Function version %s is already included in routing configuration.", version, version)
		case f.find(version) == nil:
			return notFound("Function not found: %s", h.arn(f.name, version))
		}
	}
	return nil
}

func (h *Host) getAlias(r *http.Request) (int, any, error) {
	f, unlock, err := h.lockFunction(r, nil)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	a := f.aliases[r.PathValue("alias")]
	if a == nil {
		return 0, nil, notFound("Cannot find alias arn: %s", h.arn(f.name, r.PathValue("alias")))
	}
	return http.StatusOK, h.describeAlias(f, a), nil
}

func (h *Host) deleteAlias(r *http.Request) (int, any, error) {
	f, unlock, err := h.lockFunction(r, nil)
	if err == nil {
		delete(f.aliases, r.PathValue("alias"))
		unlock()
	}
	return http.StatusNoContent, nil, err
}

func (h *Host) listAliases(r *http.Request) (int, any, error) {
	f, unlock, err := h.lockFunction(r, nil)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	out := []aliasOutput{}
	for _, name := range slices.Sorted(maps.Keys(f.aliases)) {
		out = append(out, h.describeAlias(f, f.aliases[name]))
	}
	return page("Aliases", out, r)
}

// lockFunction decodes a request, if there is something to decode into, and
// returns its function with the host locked until unlock is called.
func (h *Host) lockFunction(r *http.Request, into any) (f *function, unlock func(), err error) {
	ref, err := changeable(r)
	if err != nil {
		return nil, nil, err
	}
	if into != nil {
		if err := decode(r, into); err != nil {
			return nil, nil, err
		}
	}
	h.mu.Lock()
	if f, err = h.function(ref); err != nil {
		h.mu.Unlock()
		return nil, nil, err
	}
	return f, h.mu.Unlock, nil
}
