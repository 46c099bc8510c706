// Package fcm sends notifications by Firebase Cloud Messaging's HTTP v1 API:
// https://firebase.google.com/docs/cloud-messaging/send/v1-api
//
// It is a request of the documented API with a token from golang.org/x/oauth2, and not
// firebase.google.com/go, which brings gRPC, Firestore and Cloud Storage along: a
// function would no longer be under 6 MB.
//
// Caveats:
//
//   - INVALID_ARGUMENT and SENDER_ID_MISMATCH do not prune an address: a wrong payload or
//     project makes them the answer for every one.
//   - It has been tested against servers of our own that speak the protocol. No
//     notification has gone to Google.
package fcm

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
	"golang.org/x/sync/singleflight"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// The API, its scope, and how long a token may be waited for.
const (
	DefaultHost  = "https://fcm.googleapis.com"
	scope        = "https://www.googleapis.com/auth/firebase.messaging"
	tokenTimeout = 10 * time.Second
)

// maxPayload is FCM's limit of a message.
const maxPayload = 4096

// Config configures New. Credentials is required.
type Config struct {
	// Credentials is the JSON file of a service account that may send.
	Credentials string
	// Host is the API's. Default DefaultHost.
	Host string
	// TLS may have other roots than the system's.
	TLS *tls.Config
}

// account is what is needed of a service account's file.
type account struct {
	Type         string `json:"type"`
	ProjectID    string `json:"project_id"`
	PrivateKeyID string `json:"private_key_id"`
	PrivateKey   string `json:"private_key"`
	ClientEmail  string `json:"client_email"`
	TokenURI     string `json:"token_uri"`
}

// Channel sends to FCM. It is safe for concurrent use.
type Channel struct {
	client *http.Client
	url    string
	tokens oauth2.TokenSource
	flight singleflight.Group
}

// New makes a channel. It connects with the first message.
func New(cfg Config) (*Channel, error) {
	var a account
	if err := json.Unmarshal([]byte(cfg.Credentials), &a); err != nil {
		return nil, errors.New("fcm: the credentials must be the JSON file of a service account") // err would show some of it
	}
	if a.Type != "service_account" || a.ProjectID == "" || a.PrivateKey == "" || a.ClientEmail == "" || !strings.HasPrefix(a.TokenURI, "https://") {
		return nil, errors.New("fcm: the credentials need type service_account, project_id, private_key, client_email and token_uri")
	}
	client := channel.NewClient(cfg.TLS, nil)
	own := *client
	own.Timeout = tokenTimeout
	source := &jwt.Config{Email: a.ClientEmail, PrivateKey: []byte(a.PrivateKey), PrivateKeyID: a.PrivateKeyID, TokenURL: a.TokenURI, Scopes: []string{scope}}
	return &Channel{
		client: client,
		url:    cmp.Or(cfg.Host, DefaultHost) + "/v1/projects/" + url.PathEscape(a.ProjectID) + "/messages:send",
		tokens: oauth2.ReuseTokenSource(nil, source.TokenSource(context.WithValue(context.Background(), oauth2.HTTPClient, &own))),
	}, nil
}

// Close closes the connections that are idle.
func (c *Channel) Close() { c.client.CloseIdleConnections() }

// Send implements [channel.Channel].
func (c *Channel) Send(ctx context.Context, to channel.Address, m channel.Message) error {
	payload, err := json.Marshal(request(to.Token, m, time.Now()))
	if err != nil || len(payload) > maxPayload+channel.MaxToken {
		return channel.Errorf(channel.Rejected, "the message has %d bytes, more than %d: shorten the template or the data", len(payload), maxPayload)
	}
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	ctx, exchange := channel.Observe(ctx)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(payload))
	if err != nil {
		return channel.Errorf(channel.Denied, "make the request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	token.SetAuthHeader(r)
	response, err := c.client.Do(r)
	if err != nil {
		return exchange.Failure(err)
	}
	return outcome(response.StatusCode, channel.ReadBody(response), exchange.RetryAfter())
}

// token returns one that is valid, which one caller fetches for all.
func (c *Channel) token(ctx context.Context) (*oauth2.Token, error) {
	fetched := c.flight.DoChan("", func() (any, error) { return c.tokens.Token() })
	select {
	case <-ctx.Done():
		return nil, channel.Errorf(channel.Refused, "wait for an access token: %w", context.Cause(ctx))
	case result := <-fetched:
		if result.Err == nil {
			return result.Val.(*oauth2.Token), nil
		}
		if refused, ok := errors.AsType[*oauth2.RetrieveError](result.Err); ok && refused.Response.StatusCode < 500 {
			return nil, channel.Errorf(channel.Denied, "no access token: the token endpoint answered %d to the service account", refused.Response.StatusCode)
		}
		return nil, channel.Errorf(channel.Refused, "no access token: %w", result.Err)
	}
}

// request is the body of projects.messages.send.
func request(token string, m channel.Message, now time.Time) map[string]any {
	android := map[string]any{"collapse_key": m.CollapseID(), "notification": map[string]string{"tag": m.CollapseID()}, "priority": "NORMAL"}
	if m.Urgent {
		android["priority"] = "HIGH"
	}
	if !m.Expires.IsZero() {
		android["ttl"] = fmt.Sprintf("%ds", int(m.TTL(now).Seconds()))
	}
	message := map[string]any{"token": token, "notification": map[string]string{"title": m.Title, "body": m.Body}, "android": android}
	if len(m.Data) > 0 {
		message["data"] = m.Data
	}
	return map[string]any{"message": message}
}

// outcome follows the table of error codes of the API's reference (ErrorCode).
func outcome(status int, body []byte, after time.Duration) error {
	if status == http.StatusOK {
		return nil
	}
	var answer struct {
		Error struct {
			Status  string
			Details []struct{ ErrorCode string }
		}
	}
	_ = json.Unmarshal(body, &answer) // another body has no code, and the status decides
	code := answer.Error.Status
	for _, d := range answer.Error.Details {
		code = cmp.Or(d.ErrorCode, code)
	}
	verdict := channel.VerdictOfStatus(status)
	switch code {
	case "UNREGISTERED":
		verdict = channel.Gone
	case "SENDER_ID_MISMATCH":
		verdict = channel.Rejected
	}
	return &channel.Error{Verdict: verdict, After: after, Err: fmt.Errorf("FCM answered %d %.64q", status, code)}
}
