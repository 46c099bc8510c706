// Package channeltest has servers that speak the protocols of the channels, for tests:
// HTTP/2 with TLS, checking what the providers check of a request, counting what they
// accepted, and failing as they are told.
//
// They are not the providers: they hold a client to the documented protocol, and know
// nothing of what the documents leave out.
package channeltest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// Push is an accepted message.
type Push struct {
	Token, Title, Body, HTML string
	// Collapse is what makes two messages one on the device.
	Collapse string
	Data     map[string]string
	Header   http.Header
}

// Answer is what a server says to a message. The zero value accepts it.
type Answer struct {
	// Status and Body are of a refusal; 0 accepts.
	Status int
	Body   string
	Header map[string]string
	// Lost accepts the message and breaks its stream off instead of answering.
	Lost bool
	// Last answers, and then closes the connection by GOAWAY.
	Last bool
}

// Server is one provider. It is safe for concurrent use.
type Server struct {
	*httptest.Server
	t testing.TB

	mu       sync.Mutex
	answer   func(p Push, nth int) Answer
	accepted map[string][]Push
	tried    map[string]int
	count    int
}

// protocol reads a request; an error is what the provider would refuse it for.
type protocol func(r *http.Request, body []byte) (Push, error)

// success writes the answer to an accepted message.
type success func(w http.ResponseWriter)

func start(t testing.TB, read protocol, accept success) *Server {
	s := &Server{t: t, accepted: map[string][]Push{}, tried: map[string]int{}}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, read, accept) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, read protocol, accept success) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	push, err := read(r, body)
	if r.ProtoMajor != 2 && err == nil {
		err = fmt.Errorf("the protocol is %s", r.Proto)
	}
	if err != nil {
		s.t.Errorf("the provider would refuse the request to %s: %v", r.URL.Path, err)
		http.Error(w, `{"reason":"BadRequest"}`, http.StatusBadRequest)
		return
	}
	push.Header = r.Header
	answer := s.next(push)
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	switch {
	case answer.Lost:
		panic(http.ErrAbortHandler)
	case answer.Last:
		w.Header().Set("Connection", "close")
	}
	if answer.Status != 0 {
		w.WriteHeader(answer.Status)
		_, _ = io.WriteString(w, answer.Body)
		return
	}
	accept(w)
}

// next records the message unless it is refused.
func (s *Server) next(p Push) Answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried[p.Token]++
	var answer Answer
	if s.answer != nil {
		answer = s.answer(p, s.tried[p.Token])
	}
	if answer.Status == 0 {
		s.accepted[p.Token] = append(s.accepted[p.Token], p)
		s.count++
	}
	return answer
}

// Answer decides by the message, and the how manieth it is for its token, counted from 1.
func (s *Server) Answer(f func(p Push, nth int) Answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// Accepted are the messages that were accepted for a token, in their order.
func (s *Server) Accepted(token string) []Push {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Push(nil), s.accepted[token]...)
}

// Tried is how many messages there were for a token.
func (s *Server) Tried(token string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried[token]
}

// Count is how many messages were accepted.
func (s *Server) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// ClientTLS trusts the server.
func (s *Server) ClientTLS() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{RootCAs: roots}
}

// Message is one for tests.
func Message() channel.Message {
	return channel.Message{ID: "an id", User: "ada", Title: "Bob follows you", Body: "Say hello.", Data: map[string]string{"screen": "profile/bob"}}
}
