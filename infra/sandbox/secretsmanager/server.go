package secretsmanager

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/awsjson"
	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// Target is the prefix of X-Amz-Target by which requests are recognised.
const Target = "secretsmanager"

// Limits of the service.
const (
	maxValue  = 64 << 10
	recovery  = 30 * 24 * time.Hour
	current   = "AWSCURRENT"
	tokenLess = 32 // characters of a ClientRequestToken
)

// Config of a server. The zero value works.
type Config struct {
	// Region and Account appear in ARNs; "" means us-east-1 and 000000000000.
	Region, Account string
	// MaxSecrets bounds how many there can be; 0 means 10,000.
	MaxSecrets int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Fault is asked before every call; nil injects nothing.
	Fault func(operation, resource string) fault.Fault
	// Refuse is asked for each secret that is read, whether the role may. nil lets
	// everybody.
	Refuse func(name string) *awsjson.Error
}

// Server holds the secrets of one account. It is an http.Handler, safe for
// concurrent use, owns no goroutine and needs no closing.
type Server struct {
	cfg     Config
	service awsjson.Service

	mu      sync.Mutex
	secrets map[string]*secret // by name
}

type secret struct {
	name, arn string
	current   *version // nil for a secret without a value
	deleted   time.Time
}

type version struct {
	id     string
	text   *string
	binary []byte
	at     time.Time
}

// New makes a server without secrets.
func New(cfg Config) *Server {
	cfg.Region = cmp.Or(cfg.Region, "us-east-1")
	cfg.Account = cmp.Or(cfg.Account, "000000000000")
	cfg.MaxSecrets = cmp.Or(cfg.MaxSecrets, 10_000)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, secrets: map[string]*secret{}}
	s.service = awsjson.Service{Target: Target, Version: "1.1", Fault: cfg.Fault, Operations: map[string]awsjson.Operation{
		"CreateSecret":   awsjson.Op(s.createSecret),
		"GetSecretValue": awsjson.Op(s.getSecretValue),
		"PutSecretValue": awsjson.Op(s.putSecretValue),
		"DeleteSecret":   awsjson.Op(s.deleteSecret),
	}}
	return s
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.service.ServeHTTP(w, r) }

var validName = regexp.MustCompile(`^[a-zA-Z0-9/_+=.@-]{1,512}$`)

// newARN is the secret's, with six characters that AWS chooses at random.
func (s *Server) newARN(name string) string {
	id := uuid.New()
	sum := sha256.Sum256(id[:])
	six := strings.NewReplacer("+", "a", "/", "b").Replace(base64.StdEncoding.EncodeToString(sum[:])[:6])
	return "arn:aws:secretsmanager:" + s.cfg.Region + ":" + s.cfg.Account + ":secret:" + name + "-" + six
}

// find takes a name, or an ARN with or without its last characters.
func (s *Server) find(id string) (*secret, *awsjson.Error) {
	if found := s.secrets[id]; found != nil {
		return found, nil
	}
	for _, one := range s.secrets {
		if strings.HasPrefix(id, "arn:") && (id == one.arn || id == one.arn[:len(one.arn)-7]) {
			return one, nil
		}
	}
	return nil, awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func (s *Server) alive(id string) (*secret, *awsjson.Error) {
	found, err := s.find(id)
	if err == nil && !found.deleted.IsZero() {
		err = awsjson.Errorf("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	return found, err
}

type (
	createInput struct {
		Name, ClientRequestToken, KmsKeyId string
		SecretString                       *string
		SecretBinary                       []byte
	}
	created struct {
		ARN, Name string
		VersionId string `json:",omitempty"`
	}
	getInput  struct{ SecretId string }
	getOutput struct {
		ARN, Name, VersionId string
		SecretString         *string `json:",omitempty"`
		SecretBinary         []byte  `json:",omitempty"`
		VersionStages        []string
		CreatedDate          *awsjson.Time
	}
	putInput struct {
		SecretId, ClientRequestToken string
		SecretString                 *string
		SecretBinary                 []byte
	}
	putOutput struct {
		ARN, Name, VersionId string
		VersionStages        []string
	}
	deleteInput struct {
		SecretId                   string
		ForceDeleteWithoutRecovery bool
		RecoveryWindowInDays       *int64
	}
	deleteOutput struct {
		ARN, Name    string
		DeletionDate *awsjson.Time
	}
)

// Resource implements awsjson.Resourceful, as it does below.
func (i createInput) Resource() string { return i.Name }
func (i getInput) Resource() string    { return i.SecretId }
func (i putInput) Resource() string    { return i.SecretId }
func (i deleteInput) Resource() string { return i.SecretId }

func (s *Server) createSecret(_ context.Context, in *createInput) (*created, error) {
	if !validName.MatchString(in.Name) {
		return nil, awsjson.Errorf("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.secrets[in.Name]; found != nil {
		if !found.deleted.IsZero() {
			return nil, awsjson.Errorf("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		return nil, awsjson.Errorf("ResourceExistsException", "The operation failed because the secret %s already exists.", in.Name)
	}
	if len(s.secrets) >= s.cfg.MaxSecrets {
		return nil, awsjson.Errorf("LimitExceededException", "You have exceeded the number of secrets for this AWS account.")
	}
	made := &secret{name: in.Name, arn: s.newARN(in.Name)}
	out := &created{ARN: made.arn, Name: made.name}
	if in.SecretString != nil || in.SecretBinary != nil {
		v, err := s.version(in.ClientRequestToken, in.SecretString, in.SecretBinary)
		if err != nil {
			return nil, err
		}
		made.current, out.VersionId = v, v.id
	}
	s.secrets[in.Name] = made
	return out, nil
}

// version makes one of a request.
func (s *Server) version(token string, text *string, binary []byte) (*version, *awsjson.Error) {
	switch {
	case (text == nil) == (binary == nil):
		return nil, awsjson.Errorf("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	case text != nil && len(*text) > maxValue, len(binary) > maxValue:
		return nil, awsjson.Errorf("ValidationException",
			"1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to %d", maxValue)
	case token == "":
		token = uuid.NewString()
	case len(token) < tokenLess:
		return nil, awsjson.Errorf("InvalidParameterException", "ClientRequestToken must be %d-64 characters long.", tokenLess)
	}
	return &version{token, text, binary, s.cfg.Now()}, nil
}

func (s *Server) getSecretValue(_ context.Context, in *getInput) (*getOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Refuse != nil {
		if err := s.cfg.Refuse(in.SecretId); err != nil {
			return nil, err
		}
	}
	found, err := s.alive(in.SecretId)
	if err != nil {
		return nil, err
	}
	v := found.current
	if v == nil {
		return nil, awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", current)
	}
	return &getOutput{
		ARN: found.arn, Name: found.name, VersionId: v.id, SecretString: v.text, SecretBinary: v.binary,
		VersionStages: []string{current}, CreatedDate: awsjson.At(v.at),
	}, nil
}

func (s *Server) putSecretValue(_ context.Context, in *putInput) (*putOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.alive(in.SecretId)
	if err != nil {
		return nil, err
	}
	v, err := s.version(in.ClientRequestToken, in.SecretString, in.SecretBinary)
	if err != nil {
		return nil, err
	}
	found.current = v
	return &putOutput{ARN: found.arn, Name: found.name, VersionId: v.id, VersionStages: []string{current}}, nil
}

func (s *Server) deleteSecret(_ context.Context, in *deleteInput) (*deleteOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	at := s.cfg.Now()
	if in.ForceDeleteWithoutRecovery {
		delete(s.secrets, found.name)
	} else {
		found.deleted = at
		at = at.Add(recovery)
	}
	return &deleteOutput{ARN: found.arn, Name: found.name, DeletionDate: awsjson.At(at)}, nil
}
