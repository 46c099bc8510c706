package keytable

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// KMSAPI is what [KMS] needs of *kms.Client.
type KMSAPI interface {
	Encrypt(context.Context, *kms.EncryptInput, ...func(*kms.Options)) (*kms.EncryptOutput, error)
	Decrypt(context.Context, *kms.DecryptInput, ...func(*kms.Options)) (*kms.DecryptOutput, error)
}

// KMS wraps keys by a KMS key, with the subject as their encryption context, so that a
// wrapped key that was moved to another subject does not unwrap. Publishers need
// kms:Encrypt and kms:Decrypt, consumers kms:Decrypt. One request for each key that is
// made or read, those in the cache excepted.
type KMS struct {
	Client KMSAPI
	Key    string // its id, ARN or alias
}

var _ Wrapper = KMS{}

func contextOf(subject string) map[string]string { return map[string]string{"banyan:subject": subject} }

// Wrap implements [Wrapper].
func (k KMS) Wrap(ctx context.Context, subject string, key []byte) ([]byte, error) {
	out, err := k.Client.Encrypt(ctx, &kms.EncryptInput{KeyId: &k.Key, Plaintext: key, EncryptionContext: contextOf(subject)})
	if err != nil {
		return nil, err
	}
	return out.CiphertextBlob, nil
}

// Unwrap implements [Wrapper].
func (k KMS) Unwrap(ctx context.Context, subject string, wrapped []byte) ([]byte, error) {
	out, err := k.Client.Decrypt(ctx, &kms.DecryptInput{KeyId: &k.Key, CiphertextBlob: wrapped, EncryptionContext: contextOf(subject)})
	if err != nil {
		return nil, err
	}
	return out.Plaintext, nil
}
