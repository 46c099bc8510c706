package settings_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
	"github.com/banyan-fig/banyan/infra/sandbox/settings"
)

func secretsClient(t *testing.T, url string) *secretsmanager.Client {
	return secretsmanager.NewFromConfig(sandboxtest.Config(t, url))
}

func TestSecrets(t *testing.T) {
	url := sandboxtest.Serve(t, settings.NewSecrets(settings.Config{}))
	secretsConform(t, secretsClient(t, url))
}

// TestPeerSecrets runs the same cases on another implementation.
func TestPeerSecrets(t *testing.T) {
	url := os.Getenv("BANYAN_CONFORMANCE_SECRETSMANAGER")
	if url == "" {
		t.Skip("BANYAN_CONFORMANCE_SECRETSMANAGER is not set")
	}
	secretsConform(t, secretsClient(t, url))
}

type secretsSuite struct{ client *secretsmanager.Client }

func secretsConform(t *testing.T, c *secretsmanager.Client) {
	s := secretsSuite{c}
	for name, test := range map[string]func(*testing.T){"Values": s.values, "Rotation": s.rotation, "Deletion": s.deletion, "Errors": s.errors} {
		t.Run(name, test)
	}
}

func (s secretsSuite) create(t *testing.T, text string) *secretsmanager.CreateSecretOutput {
	t.Helper()
	out, err := s.client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: aws.String("banyan/" + uuid.NewString()), SecretString: &text})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s secretsSuite) get(t *testing.T, id *string) (*secretsmanager.GetSecretValueOutput, error) {
	t.Helper()
	return s.client.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: id})
}

func (s secretsSuite) values(t *testing.T) {
	made := s.create(t, "héllo ☃")
	for _, id := range []*string{made.Name, made.ARN} {
		got, err := s.get(t, id)
		if err != nil || aws.ToString(got.SecretString) != "héllo ☃" || *got.Name != *made.Name || *got.ARN != *made.ARN ||
			*got.VersionId != *made.VersionId || !slices.Contains(got.VersionStages, "AWSCURRENT") || got.CreatedDate == nil {
			t.Errorf("%s: %+v, %v", *id, got, err)
		}
	}
	if cut := strings.TrimPrefix(*made.ARN, "arn:aws:secretsmanager:us-east-1:"); len(cut) != len("123456789012:secret:")+len(*made.Name)+7 {
		t.Errorf("the ARN is %s", *made.ARN)
	}
	name := "banyan/" + uuid.NewString()
	if _, err := s.client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretBinary: []byte{0, 1, 255}}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.get(t, &name); err != nil || got.SecretString != nil || !slices.Equal(got.SecretBinary, []byte{0, 1, 255}) {
		t.Errorf("bytes: %+v, %v", got, err)
	}
}

func (s secretsSuite) rotation(t *testing.T) {
	made := s.create(t, "one")
	put, err := s.client.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: made.Name, SecretString: aws.String("two")})
	if err != nil || *put.VersionId == *made.VersionId {
		t.Fatal(put, err)
	}
	if got, err := s.get(t, made.Name); err != nil || aws.ToString(got.SecretString) != "two" || *got.VersionId != *put.VersionId {
		t.Errorf("%+v, %v", got, err)
	}
}

func (s secretsSuite) deletion(t *testing.T) {
	made := s.create(t, "x")
	if _, err := s.client.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: made.Name}); err != nil {
		t.Fatal(err)
	}
	_, err := s.get(t, made.Name)
	if e := new(types.InvalidRequestException); !errors.As(err, &e) {
		t.Errorf("a deleted secret: %v", err)
	}
	made = s.create(t, "x")
	if _, err := s.client.DeleteSecret(t.Context(), &secretsmanager.DeleteSecretInput{SecretId: made.Name,
		ForceDeleteWithoutRecovery: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	_, err = s.get(t, made.Name)
	if e := new(types.ResourceNotFoundException); !errors.As(err, &e) {
		t.Errorf("a secret that is gone: %v", err)
	}
}

func (s secretsSuite) errors(t *testing.T) {
	_, err := s.get(t, aws.String("banyan/none"))
	if e := new(types.ResourceNotFoundException); !errors.As(err, &e) {
		t.Errorf("a secret that is not: %v", err)
	}
	made := s.create(t, "x")
	_, err = s.client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: made.Name, SecretString: aws.String("y")})
	if e := new(types.ResourceExistsException); !errors.As(err, &e) {
		t.Errorf("a name that is taken: %v", err)
	}
	name := "banyan/" + uuid.NewString()
	if _, err := s.client.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name}); err != nil {
		t.Fatal(err)
	}
	_, err = s.get(t, &name)
	if e := new(types.ResourceNotFoundException); !errors.As(err, &e) {
		t.Errorf("a secret without a value: %v", err)
	}
}

// TestSecretsNotImplemented: the rest of the service says so.
func TestSecretsNotImplemented(t *testing.T) {
	url := sandboxtest.Serve(t, settings.NewSecrets(settings.Config{}))
	_, err := secretsClient(t, url).ListSecrets(t.Context(), &secretsmanager.ListSecretsInput{})
	if err == nil || !strings.Contains(err.Error(), "not implemented by the sandbox: ListSecrets") {
		t.Error(err)
	}
}
