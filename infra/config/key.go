package config

import "strings"

// kind is what a key names.
type kind int

const (
	parameter kind = iota
	secret
)

// action is what the role needs.
func (k kind) action() string {
	return [...]string{"ssm:GetParameters", "secretsmanager:GetSecretValue"}[k]
}

// key is what is cached.
type key struct {
	kind kind
	name string
}

// String names it for people.
func (k key) String() string {
	return [...]string{"the parameter ", "the secret "}[k.kind] + k.name
}

// aboutKey distinguishes a denial by KMS from one by the service that asked it: the
// services pass on what KMS said under their own error code.
func aboutKey(message string) bool {
	message = strings.ToLower(message)
	return strings.Contains(message, "kms") || strings.Contains(message, "ciphertext refers to a customer master key")
}
