package proxy

import (
	"net/http"

	"github.com/banyan-fig/banyan/infra/token"
)

// maxSubject is the maximum length of a subject in bytes: it bounds what is kept for
// each one.
const maxSubject = 256

// subjects verifies the subject of a request, by the token that the legacy app itself
// signed. Unsigned claims of the client are never trusted. With a nil *subjects, no
// request has a subject.
type subjects struct {
	tokens *token.Tokens
}

func newSubjects(secret string) (*subjects, error) {
	tokens, err := token.New(token.Config{Secret: []byte(secret)})
	if err != nil {
		return nil, err
	}
	return &subjects{tokens}, nil
}

// subjectOf returns the verified subject, or "" for a request without a valid token.
func (s *subjects) subjectOf(r *http.Request) string {
	if s == nil {
		return ""
	}
	subject, err := s.tokens.Subject(r)
	if err != nil || len(subject) > maxSubject {
		return ""
	}
	return subject
}
