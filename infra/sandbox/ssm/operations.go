package ssm

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

// kinds of parameters.
var kinds = []string{"String", "StringList", "SecureString"}

type (
	putInput struct {
		Name, Value, Type, KeyId, Tier string
		Overwrite                      bool
	}
	putOutput struct {
		Version int64
		Tier    string
	}
	getManyInput struct {
		Names          []string
		WithDecryption bool
	}
	getManyOutput struct {
		Parameters        []shape
		InvalidParameters []string
	}
	byPathInput struct {
		Path                      string
		Recursive, WithDecryption bool
		MaxResults                *int
		NextToken                 string
		ParameterFilters          []any
	}
	byPathOutput struct {
		Parameters []shape
		NextToken  string `json:",omitempty"`
	}
	deleteInput struct{ Name string }
	empty       struct{}

	// shape is a parameter in an answer.
	shape struct {
		Name, Type, Value string
		Selector          string `json:",omitempty"`
		Version           int64
		LastModifiedDate  *awsjson.Time
		ARN               string
		DataType          string
	}
)

// Resource implements awsjson.Resourceful, as it does below.
func (i putInput) Resource() string    { return i.Name }
func (i deleteInput) Resource() string { return i.Name }
func (i byPathInput) Resource() string { return i.Path }
func (i getManyInput) Resource() string {
	return strings.Join(i.Names, ",")
}

func (s *Server) putParameter(_ context.Context, in *putInput) (*putOutput, error) {
	if err := check(in.Name); err != nil {
		return nil, err
	}
	if in.Tier != "" && in.Tier != "Standard" {
		return nil, awsjson.NotImplemented("the tier " + in.Tier)
	}
	if in.Value == "" {
		return nil, awsjson.Errorf("ValidationException",
			"1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	}
	if len(in.Value) > maxValue {
		return nil, awsjson.Errorf("ValidationException",
			"Standard tier parameters support a maximum parameter value of %d characters. To create a larger parameter value, upgrade the "+
				"parameter to use the advanced-parameter tier.", maxValue)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.parameters[in.Name]
	if p != nil && !in.Overwrite {
		return nil, awsjson.Errorf("ParameterAlreadyExists",
			"The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	}
	kind := in.Type
	if p != nil && kind == "" {
		kind = p.versions[len(p.versions)-1].kind
	}
	if !slices.Contains(kinds, kind) {
		return nil, awsjson.Errorf("ValidationException",
			"1 validation error detected: Value '%s' at 'type' failed to satisfy constraint: Member must satisfy enum value set: %v", kind, kinds)
	}
	if p == nil {
		if len(s.parameters) >= s.cfg.MaxParameters {
			return nil, awsjson.Errorf("ParameterLimitExceeded", "You have exceeded the number of parameters for this AWS account.")
		}
		p = &parameter{first: 1}
		s.parameters[in.Name] = p
	}
	return &putOutput{Version: p.add(version{kind, in.Value, in.KeyId, s.cfg.Now()}), Tier: "Standard"}, nil
}

// add keeps a new version, whose number it returns.
func (p *parameter) add(v version) int64 {
	p.versions = append(p.versions, v)
	if len(p.versions) > maxVersions {
		p.versions, p.first = slices.Delete(p.versions, 0, 1), p.first+1
	}
	return p.first + int64(len(p.versions)) - 1
}

func (s *Server) getParameters(_ context.Context, in *getManyInput) (*getManyOutput, error) {
	if n := len(in.Names); n < 1 || n > maxNames {
		return nil, awsjson.Errorf("ValidationException",
			"1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length less than or equal to %d and "+
				"greater than or equal to 1, not %d", maxNames, n)
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &getManyOutput{Parameters: []shape{}, InvalidParameters: []string{}}
	seen := map[string]bool{}
	for _, name := range in.Names {
		if seen[name] {
			return nil, awsjson.Errorf("ValidationException", "Duplicate names are not allowed: %s", name)
		}
		seen[name] = true
		found, err := s.find(name, in.WithDecryption)
		switch {
		case err == nil:
			out.Parameters = append(out.Parameters, found)
		case err.Type == "ParameterNotFound" || err.Type == "ParameterVersionNotFound":
			out.InvalidParameters = append(out.InvalidParameters, name)
		default:
			return nil, err
		}
	}
	return out, nil
}

// find reads one, as it is asked for.
func (s *Server) find(text string, decrypt bool) (shape, *awsjson.Error) {
	name, selector := s.split(text)
	if !validName.MatchString(name) {
		return shape{}, awsjson.Errorf("ValidationException",
			"Invalid parameter name. Please use correct syntax for referencing a version/label <name>:<version/label>")
	}
	if err := s.refused(name, decrypt); err != nil {
		return shape{}, err
	}
	p := s.parameters[name]
	if p == nil {
		return shape{}, awsjson.Errorf("ParameterNotFound", "Parameter %s not found.", name)
	}
	at := len(p.versions) - 1
	if selector != "" {
		n, err := strconv.ParseInt(selector[1:], 10, 64)
		if err != nil {
			return shape{}, awsjson.NotImplemented("the label " + selector[1:])
		}
		if n < p.first || n > p.first+int64(at) {
			return shape{}, awsjson.Errorf("ParameterVersionNotFound", "Systems Manager could not find version %d of %s.", n, name)
		}
		at = int(n - p.first)
	}
	found := s.shape(name, p, at, decrypt)
	found.Selector = selector
	return found, nil
}

func (s *Server) refused(name string, decrypt bool) *awsjson.Error {
	if s.cfg.Refuse == nil {
		return nil
	}
	return s.cfg.Refuse(name, decrypt)
}

func (s *Server) shape(name string, p *parameter, at int, decrypt bool) shape {
	v := p.versions[at]
	value := v.value
	if v.kind == "SecureString" && !decrypt {
		sum := sha256.Sum256([]byte(name + "\x00" + value))
		value = "AQICAH" + base64.StdEncoding.EncodeToString(sum[:])
	}
	return shape{
		Name: name, Type: v.kind, Value: value, Version: p.first + int64(at),
		LastModifiedDate: awsjson.At(v.at), ARN: s.arn(name), DataType: "text",
	}
}

func (s *Server) getParametersByPath(_ context.Context, in *byPathInput) (*byPathOutput, error) {
	if !strings.HasPrefix(in.Path, "/") || !validName.MatchString(in.Path) {
		return nil, awsjson.Errorf("ValidationException", "The parameter path: must be prefixed with \"/\" and consist of valid characters")
	}
	if len(in.ParameterFilters) > 0 {
		return nil, awsjson.NotImplemented("ParameterFilters")
	}
	limit := maxNames
	if in.MaxResults != nil {
		if limit = *in.MaxResults; limit < 1 || limit > maxNames {
			return nil, awsjson.Errorf("ValidationException",
				"1 validation error detected: Value '%d' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to %d", limit, maxNames)
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(in.NextToken)
	if err != nil {
		return nil, awsjson.Errorf("InvalidNextToken", "The specified token isn't valid.")
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.refused(in.Path, in.WithDecryption); err != nil {
		return nil, err
	}
	out := &byPathOutput{Parameters: []shape{}}
	for _, name := range s.below(in.Path, in.Recursive, string(after)) {
		if len(out.Parameters) == limit {
			out.NextToken = base64.RawURLEncoding.EncodeToString([]byte(out.Parameters[limit-1].Name))
			break
		}
		p := s.parameters[name]
		out.Parameters = append(out.Parameters, s.shape(name, p, len(p.versions)-1, in.WithDecryption))
	}
	return out, nil
}

// below lists the names below a path behind a name, sorted.
func (s *Server) below(path string, recursive bool, after string) (names []string) {
	prefix := strings.TrimSuffix(path, "/") + "/"
	for name := range s.parameters {
		rest, ok := strings.CutPrefix(name, prefix)
		if ok && name > after && (recursive || !strings.Contains(rest, "/")) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (s *Server) deleteParameter(_ context.Context, in *deleteInput) (*empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parameters[in.Name] == nil {
		return nil, awsjson.Errorf("ParameterNotFound", "Parameter %s not found.", in.Name)
	}
	delete(s.parameters, in.Name)
	return &empty{}, nil
}
