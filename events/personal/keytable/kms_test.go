package keytable_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/banyan-fig/banyan/events/personal"
	"github.com/banyan-fig/banyan/events/personal/keytable"
	"github.com/banyan-fig/banyan/infra/dynamo"
	"github.com/banyan-fig/banyan/infra/sandbox/sandboxtest"
)

// newKMS is what AWS_ENDPOINT_URL_KMS names, with a key of its own, else a server that has the
// three operations.
func newKMS(t *testing.T) keytable.KMS {
	endpoint := os.Getenv("AWS_ENDPOINT_URL_KMS")
	if endpoint == "" {
		endpoint = sandboxtest.Serve(t, http.HandlerFunc(serveKMS))
	}
	client := kms.NewFromConfig(sandboxtest.Config(t, endpoint))
	out, err := client.CreateKey(t.Context(), &kms.CreateKeyInput{})
	sandboxtest.Must(t, err)
	return keytable.KMS{Client: client, Key: aws.ToString(out.KeyMetadata.KeyId)}
}

func serveKMS(w http.ResponseWriter, r *http.Request) {
	block, _ := aes.NewCipher(make([]byte, 32))
	aead, _ := cipher.NewGCMWithRandomNonce(block)
	var in struct {
		KeyId                     string
		Plaintext, CiphertextBlob []byte
		EncryptionContext         map[string]string
	}
	_ = json.NewDecoder(r.Body).Decode(&in)
	context, _ := json.Marshal(in.EncryptionContext)
	out := map[string]any{"KeyId": in.KeyId}
	switch strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService.") {
	case "CreateKey":
		out["KeyMetadata"] = map[string]string{"KeyId": "k-1"}
	case "Encrypt":
		out["CiphertextBlob"] = aead.Seal(nil, nil, in.Plaintext, context)
	case "Decrypt":
		plain, err := aead.Open(nil, nil, in.CiphertextBlob, context)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]any{"__type": "InvalidCiphertextException"}
		}
		out["Plaintext"] = plain
	}
	_ = json.NewEncoder(w).Encode(out)
}

func TestKMS(t *testing.T) {
	s, wrapper := newStore(t), newKMS(t)
	plain := id(t, s.table(nil).Make, "user/0")
	wrapped := func(c *keytable.Config) { c.Wrapper = wrapper }
	made := id(t, s.table(wrapped).Make, "user/1")
	if id(t, s.table(wrapped).Find, "user/1") != made || id(t, s.table(wrapped).Find, "user/0") != plain {
		t.Error("another key")
	}
	secret := dynamo.BytesOf(s.item("user/1"), "secret")
	if key, err := personal.NewKey(secret[:min(personal.KeySize, len(secret))]); err == nil && key.ID() == made || len(secret) == personal.KeySize {
		t.Error("the key lies in the table as it is")
	}
	_, err := s.table(nil).Find(t.Context(), "user/1")
	if err == nil || errors.Is(err, personal.ErrNoKey) || !strings.Contains(err.Error(), "no KMS key is configured") {
		t.Errorf("without KMS: %v", err)
	}
	if _, err := wrapper.Unwrap(t.Context(), "user/2", secret); !sandboxtest.Is[*types.InvalidCiphertextException](err) {
		t.Errorf("for another subject: %v", err)
	}
	if had, err := s.table(wrapped).Erase(t.Context(), "user/1"); !had || err != nil {
		t.Error(had, err)
	}
	if _, err := s.table(wrapped).Find(t.Context(), "user/1"); !errors.Is(err, personal.ErrErased) {
		t.Errorf("after the erasure: %v", err)
	}
}
