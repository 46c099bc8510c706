package settings

import (
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
)

// SecretsTarget is the prefix of X-Amz-Target that requests to Secrets Manager have.
const SecretsTarget = "secretsmanager"

const (
	maxSecret = 64 << 10
	recovery  = 30 * 24 * time.Hour
	current   = "AWSCURRENT"
	tokenLess = 32 // characters of a ClientRequestToken
)

// secrets are those of one account.
type secrets struct {
	Config
	mu     sync.Mutex
	byName map[string]*secret
}

type secret struct {
	name, arn string
	current   *secretVersion // nil for a secret without a value
	deleted   time.Time
}

type secretVersion struct {
	id     string
	text   *string
	binary []byte
	at     time.Time
}

// NewSecrets returns a Secrets Manager without secrets. It is safe for concurrent use,
// owns no goroutine and needs no closing.
func NewSecrets(cfg Config) http.Handler {
	s := &secrets{Config: cfg.withDefaults(), byName: map[string]*secret{}}
	return &awsjson.Service{Target: SecretsTarget, Version: "1.1", Fault: cfg.Fault, Operations: map[string]awsjson.Operation{
		"CreateSecret":   awsjson.Op(s.create),
		"GetSecretValue": awsjson.Op(s.get),
		"PutSecretValue": awsjson.Op(s.put),
		"DeleteSecret":   awsjson.Op(s.remove),
	}}
}

var validSecret = regexp.MustCompile(`^[a-zA-Z0-9/_+=.@-]{1,512}$`)

// newARN is the secret's, with six characters that AWS chooses at random.
func (s *secrets) newARN(name string) string {
	id := uuid.New()
	sum := sha256.Sum256(id[:])
	six := strings.NewReplacer("+", "a", "/", "b").Replace(base64.StdEncoding.EncodeToString(sum[:])[:6])
	return "arn:aws:secretsmanager:" + s.Region + ":" + s.Account + ":secret:" + name + "-" + six
}

// find takes a name, or an ARN with or without its last characters.
func (s *secrets) find(id string) (*secret, *awsjson.Error) {
	if found := s.byName[id]; found != nil {
		return found, nil
	}
	for _, one := range s.byName {
		if strings.HasPrefix(id, "arn:") && (id == one.arn || id == one.arn[:len(one.arn)-7]) {
			return one, nil
		}
	}
	return nil, awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func (s *secrets) alive(id string) (*secret, *awsjson.Error) {
	found, err := s.find(id)
	if err == nil && !found.deleted.IsZero() {
		err = awsjson.Errorf("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	return found, err
}

type (
	createSecretInput struct {
		Name, ClientRequestToken string
		SecretString             *string
		SecretBinary             []byte
	}
	createSecretOutput struct {
		ARN, Name string
		VersionId string `json:",omitempty"`
	}
	getSecretInput  struct{ SecretId string }
	getSecretOutput struct {
		ARN, Name, VersionId string
		SecretString         *string `json:",omitempty"`
		SecretBinary         []byte  `json:",omitempty"`
		VersionStages        []string
		CreatedDate          *awsjson.Time
	}
	putSecretInput struct {
		SecretId, ClientRequestToken string
		SecretString                 *string
		SecretBinary                 []byte
	}
	putSecretOutput struct {
		ARN, Name, VersionId string
		VersionStages        []string
	}
	deleteSecretInput struct {
		SecretId                   string
		ForceDeleteWithoutRecovery bool
		RecoveryWindowInDays       *int64
	}
	deleteSecretOutput struct {
		ARN, Name    string
		DeletionDate *awsjson.Time
	}
)

// Resource implements awsjson.Resourceful, as it does below.
func (i createSecretInput) Resource() string { return i.Name }
func (i getSecretInput) Resource() string    { return i.SecretId }
func (i putSecretInput) Resource() string    { return i.SecretId }
func (i deleteSecretInput) Resource() string { return i.SecretId }

func (s *secrets) create(_ context.Context, in *createSecretInput) (*createSecretOutput, error) {
	if !validSecret.MatchString(in.Name) {
		return nil, awsjson.Errorf("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.byName[in.Name]; found != nil {
		if !found.deleted.IsZero() {
			return nil, awsjson.Errorf("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		return nil, awsjson.Errorf("ResourceExistsException", "The operation failed because the secret %s already exists.", in.Name)
	}
	made := &secret{name: in.Name, arn: s.newARN(in.Name)}
	out := &createSecretOutput{ARN: made.arn, Name: made.name}
	if in.SecretString != nil || in.SecretBinary != nil {
		v, err := s.version(in.ClientRequestToken, in.SecretString, in.SecretBinary)
		if err != nil {
			return nil, err
		}
		made.current, out.VersionId = v, v.id
	}
	s.byName[in.Name] = made
	return out, nil
}

// version makes one of a request.
func (s *secrets) version(token string, text *string, binary []byte) (*secretVersion, *awsjson.Error) {
	switch {
	case (text == nil) == (binary == nil):
		return nil, awsjson.Errorf("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	case text != nil && len(*text) > maxSecret, len(binary) > maxSecret:
		return nil, awsjson.Errorf("ValidationException",
			"1 validation error detected: Value at 'secretString' failed to satisfy constraint: Member must have length less than or equal to %d", maxSecret)
	case token == "":
		token = uuid.NewString()
	case len(token) < tokenLess:
		return nil, awsjson.Errorf("InvalidParameterException", "ClientRequestToken must be %d-64 characters long.", tokenLess)
	}
	return &secretVersion{token, text, binary, s.Now()}, nil
}

func (s *secrets) get(_ context.Context, in *getSecretInput) (*getSecretOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.Refuse(in.SecretId, true); err != nil {
		return nil, err
	}
	found, err := s.alive(in.SecretId)
	if err != nil {
		return nil, err
	}
	v := found.current
	if v == nil {
		return nil, awsjson.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for staging label: %s", current)
	}
	return &getSecretOutput{
		ARN: found.arn, Name: found.name, VersionId: v.id, SecretString: v.text, SecretBinary: v.binary,
		VersionStages: []string{current}, CreatedDate: awsjson.At(v.at),
	}, nil
}

func (s *secrets) put(_ context.Context, in *putSecretInput) (*putSecretOutput, error) {
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
	return &putSecretOutput{ARN: found.arn, Name: found.name, VersionId: v.id, VersionStages: []string{current}}, nil
}

func (s *secrets) remove(_ context.Context, in *deleteSecretInput) (*deleteSecretOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found, err := s.find(in.SecretId)
	if err != nil {
		return nil, err
	}
	at := s.Now()
	if in.ForceDeleteWithoutRecovery {
		delete(s.byName, found.name)
	} else {
		found.deleted = at
		at = at.Add(recovery)
	}
	return &deleteSecretOutput{ARN: found.arn, Name: found.name, DeletionDate: awsjson.At(at)}, nil
}
