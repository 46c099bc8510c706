package ssm

import (
	"cmp"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Target is the prefix of X-Amz-Target by which requests are recognised.
const Target = "AmazonSSM"

// Limits of the service.
const (
	maxNames    = 10
	maxValue    = 4 << 10
	maxLevels   = 15
	maxVersions = 100
)

// Config of a server. The zero value works.
type Config struct {
	// Region and Account appear in ARNs; "" means us-east-1 and 000000000000.
	Region, Account string
	// MaxParameters bounds how many there can be; 0 means 10,000, as in AWS.
	MaxParameters int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Fault is asked before every call; nil injects nothing.
	Fault func(operation, resource string) fault.Fault
	// Refuse is asked for each name that is read, whether the role may; an error
	// fails the whole call, as in AWS. nil lets everybody.
	Refuse func(name string, decrypt bool) *awsjson.Error
}

// Server holds the parameters of one account. It is an http.Handler, safe for
// concurrent use, owns no goroutine and needs no closing.
type Server struct {
	cfg     Config
	service awsjson.Service

	mu         sync.RWMutex
	parameters map[string]*parameter
}

// parameter has its versions, the newest last.
type parameter struct {
	first    int64 // the version of the oldest one kept
	versions []version
}

type version struct {
	kind, value, keyID string
	at                 time.Time
}

// New makes a server without parameters.
func New(cfg Config) *Server {
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	cfg.Account = cmp.Or(cfg.Account, "000000000000")
	cfg.MaxParameters = cmp.Or(cfg.MaxParameters, 10_000)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, parameters: map[string]*parameter{}}
	s.service = awsjson.Service{Target: Target, Version: "1.1", Fault: cfg.Fault, Operations: map[string]awsjson.Operation{
		"PutParameter":        awsjson.Op(s.putParameter),
		"GetParameters":       awsjson.Op(s.getParameters),
		"GetParametersByPath": awsjson.Op(s.getParametersByPath),
		"DeleteParameter":     awsjson.Op(s.deleteParameter),
	}}
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.service.ServeHTTP(w, r) }

var validName = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]{1,1000}$`)

// check refuses names that AWS would.
func check(name string) *awsjson.Error {
	switch {
	case !validName.MatchString(name):
		return awsjson.Errorf("ValidationException", "Parameter name: can't be prefixed with \"ssm\" (case-insensitive) or contain other "+
			"characters than letters, numbers and the symbols .-_")
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return awsjson.Errorf("ValidationException", "Parameter name must be a fully qualified name.")
	case strings.Count(name, "/") > maxLevels:
		return awsjson.Errorf("HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of %d levels.", maxLevels)
	}
	first := strings.ToLower(strings.TrimPrefix(name, "/"))
	if strings.HasPrefix(first, "aws") || strings.HasPrefix(first, "ssm") {
		return awsjson.Errorf("ValidationException", "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
	}
	return nil
}

// arn of a parameter.
func (s *Server) arn(name string) string {
	return "arn:aws:ssm:" + s.cfg.Region + ":" + s.cfg.Account + ":parameter/" + strings.TrimPrefix(name, "/")
}

// split takes "name", "name:version" or an ARN with either apart.
func (s *Server) split(text string) (name, selector string) {
	if rest, ok := strings.CutPrefix(text, "arn:aws:ssm:"+s.cfg.Region+":"+s.cfg.Account+":parameter/"); ok {
		if text = rest; strings.Contains(rest, "/") {
			text = "/" + rest
		}
	}
	name, selector, found := strings.Cut(text, ":")
	if found {
		selector = ":" + selector
	}
	return name, selector
}
