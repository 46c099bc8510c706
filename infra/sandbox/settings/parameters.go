package settings

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
)

// ParametersTarget is the prefix of X-Amz-Target that requests to Systems Manager have.
const ParametersTarget = "AmazonSSM"

// Limits of the Parameter Store, of standard parameters.
const (
	maxNames     = 10
	maxParameter = 4 << 10
)

var parameterKinds = []string{"String", "StringList", "SecureString"}

// parameters are those of one account.
type parameters struct {
	Config
	mu       sync.RWMutex
	versions map[string][]parameterVersion // by name, the oldest first
}

type parameterVersion struct {
	kind, value string
	at          time.Time
}

// NewParameters returns a Parameter Store without parameters. It is safe for
// concurrent use, owns no goroutine and needs no closing.
func NewParameters(cfg Config) http.Handler {
	p := &parameters{Config: cfg.withDefaults(), versions: map[string][]parameterVersion{}}
	return &awsjson.Service{Target: ParametersTarget, Version: "1.1", Fault: cfg.Fault, Operations: map[string]awsjson.Operation{
		"PutParameter":    awsjson.Op(p.put),
		"GetParameters":   awsjson.Op(p.get),
		"DeleteParameter": awsjson.Op(p.remove),
	}}
}

type (
	putParameterInput struct {
		Name, Value, Type string
		Overwrite         bool
	}
	putParameterOutput struct {
		Version int64
		Tier    string
	}
	getParametersInput struct {
		Names          []string
		WithDecryption bool
	}
	getParametersOutput struct {
		Parameters        []parameter
		InvalidParameters []string
	}
	deleteParameterInput  struct{ Name string }
	deleteParameterOutput struct{}

	// parameter is one in an answer.
	parameter struct {
		Name, Type, Value string
		Selector          string `json:",omitempty"`
		Version           int64
		LastModifiedDate  *awsjson.Time
		ARN               string
		DataType          string
	}
)

// Resource implements awsjson.Resourceful, as it does below.
func (i putParameterInput) Resource() string    { return i.Name }
func (i getParametersInput) Resource() string   { return strings.Join(i.Names, ",") }
func (i deleteParameterInput) Resource() string { return i.Name }

var validParameter = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]{1,1000}$`)

func (p *parameters) put(_ context.Context, in *putParameterInput) (*putParameterOutput, error) {
	switch {
	case !validParameter.MatchString(in.Name):
		return nil, awsjson.Errorf("ValidationException", "Parameter name: can't be prefixed with \"ssm\" (case-insensitive) or contain other "+
			"characters than letters, numbers and the symbols .-_")
	case strings.Contains(in.Name, "/") && !strings.HasPrefix(in.Name, "/"):
		return nil, awsjson.Errorf("ValidationException", "Parameter name must be a fully qualified name.")
	case in.Value == "":
		return nil, awsjson.Errorf("ValidationException",
			"1 validation error detected: Value at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	case len(in.Value) > maxParameter:
		return nil, awsjson.Errorf("ValidationException",
			"Standard tier parameters support a maximum parameter value of %d characters. To create a larger parameter value, upgrade the "+
				"parameter to use the advanced-parameter tier.", maxParameter)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	versions, kind := p.versions[in.Name], in.Type
	if len(versions) > 0 && !in.Overwrite {
		return nil, awsjson.Errorf("ParameterAlreadyExists",
			"The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	}
	if len(versions) > 0 && kind == "" {
		kind = versions[len(versions)-1].kind
	}
	if !slices.Contains(parameterKinds, kind) {
		return nil, awsjson.Errorf("ValidationException",
			"1 validation error detected: Value '%s' at 'type' failed to satisfy constraint: Member must satisfy enum value set: %v", kind, parameterKinds)
	}
	p.versions[in.Name] = append(versions, parameterVersion{kind, in.Value, p.Now()})
	return &putParameterOutput{Version: int64(len(versions)) + 1, Tier: "Standard"}, nil
}

func (p *parameters) get(_ context.Context, in *getParametersInput) (*getParametersOutput, error) {
	if n := len(in.Names); n < 1 || n > maxNames {
		return nil, awsjson.Errorf("ValidationException",
			"1 validation error detected: Value at 'names' failed to satisfy constraint: Member must have length less than or equal to %d and "+
				"greater than or equal to 1, not %d", maxNames, n)
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	out := &getParametersOutput{Parameters: []parameter{}, InvalidParameters: []string{}}
	for i, name := range in.Names {
		if slices.Contains(in.Names[:i], name) {
			return nil, awsjson.Errorf("ValidationException", "Duplicate names are not allowed: %s", name)
		}
		found, err := p.find(name, in.WithDecryption)
		switch {
		case err != nil:
			return nil, err
		case found == nil:
			out.InvalidParameters = append(out.InvalidParameters, name)
		default:
			out.Parameters = append(out.Parameters, *found)
		}
	}
	return out, nil
}

// find reads a version of a parameter, as it is asked for; nil is none.
func (p *parameters) find(text string, decrypt bool) (*parameter, error) {
	name, selector, selected := strings.Cut(p.nameOf(text), ":")
	if !validParameter.MatchString(name) {
		return nil, awsjson.Errorf("ValidationException",
			"Invalid parameter name. Please use correct syntax for referencing a version/label <name>:<version/label>")
	}
	if err := p.Refuse(name, decrypt); err != nil {
		return nil, err
	}
	versions := p.versions[name]
	number := len(versions)
	if selected {
		var err error
		if number, err = strconv.Atoi(selector); err != nil {
			return nil, awsjson.NotImplemented("the label " + selector)
		}
		selector = ":" + selector
	}
	if number < 1 || number > len(versions) {
		return nil, nil
	}
	v := versions[number-1]
	value := v.value
	if v.kind == "SecureString" && !decrypt {
		sum := sha256.Sum256([]byte(name + "\x00" + value))
		value = "AQICAH" + base64.StdEncoding.EncodeToString(sum[:])
	}
	return &parameter{
		Name: name, Type: v.kind, Value: value, Selector: selector, Version: int64(number), LastModifiedDate: awsjson.At(v.at),
		ARN: p.arn() + strings.TrimPrefix(name, "/"), DataType: "text",
	}, nil
}

// arn is what the ARNs of parameters begin with.
func (p *parameters) arn() string { return "arn:aws:ssm:" + p.Region + ":" + p.Account + ":parameter/" }

// nameOf takes a name or an ARN, either with a version.
func (p *parameters) nameOf(text string) string {
	rest, isARN := strings.CutPrefix(text, p.arn())
	if isARN && strings.Contains(rest, "/") {
		return "/" + rest
	}
	return rest
}

func (p *parameters) remove(_ context.Context, in *deleteParameterInput) (*deleteParameterOutput, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.versions[in.Name] == nil {
		return nil, awsjson.Errorf("ParameterNotFound", "Parameter %s not found.", in.Name)
	}
	delete(p.versions, in.Name)
	return &deleteParameterOutput{}, nil
}
