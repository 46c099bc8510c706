// Package apns sends notifications to Apple's devices, by HTTP/2 and with a provider
// token, through github.com/sideshow/apns2.
//
// Caveats:
//
//   - BadDeviceToken and DeviceTokenNotForTopic do not prune an address, although they
//     are about it: with a wrong topic, or development tokens in production, they are the
//     answer for every one.
//   - It has been tested against servers of our own that speak the protocol. No
//     notification has gone to Apple.
package apns

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// MaxPayload is APNs' limit of a payload in bytes.
const MaxPayload = 4096

// Config configures New. All but Host and TLS is required.
type Config struct {
	// Key is the .p8 file's text; KeyID and TeamID are what Apple calls them.
	Key, KeyID, TeamID string
	// Topic is the app's bundle id.
	Topic string
	// Host is the server. Default apns2.HostProduction.
	Host string
	// TLS may have other roots than the system's.
	TLS *tls.Config
}

// Channel sends to APNs over few connections, which it keeps. It is safe for concurrent use.
type Channel struct {
	client *apns2.Client
	topic  string
}

// dialTimeout is that of a new connection, and of its TLS.
const dialTimeout = 10 * time.Second

// New makes a channel. It connects with the first message.
func New(cfg Config) (*Channel, error) {
	if cfg.KeyID == "" || cfg.TeamID == "" || cfg.Topic == "" {
		return nil, errors.New("apns: the key's id, the team's id and the topic are required")
	}
	key, err := token.AuthKeyFromBytes([]byte(cfg.Key))
	if err != nil {
		return nil, fmt.Errorf("apns: the key must be the text of the .p8 file: %w", err)
	}
	client := apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: cfg.KeyID, TeamID: cfg.TeamID})
	client.Host = cmp.Or(cfg.Host, apns2.HostProduction)
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true) // and no other: APNs speaks none
	client.HTTPClient = &http.Client{Transport: channel.Transport{RoundTripper: &http.Transport{
		Protocols:           protocols,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: apns2.ReadIdleTimeout},
		TLSClientConfig:     cfg.TLS,
		TLSHandshakeTimeout: dialTimeout,
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
	}}}
	return &Channel{client: client, topic: cfg.Topic}, nil
}

// Close closes the connections that are idle.
func (c *Channel) Close() { c.client.CloseIdleConnections() }

// Send implements [channel.Channel].
func (c *Channel) Send(ctx context.Context, to channel.Address, m channel.Message) error {
	if raw, err := hex.DecodeString(to.Token); err != nil || len(raw) == 0 || len(raw) > 100 {
		return channel.Errorf(channel.Rejected, "a device token must be up to 100 bytes in hexadecimal") // it becomes a part of the path
	}
	payload, err := payloadOf(m)
	if err != nil {
		return err
	}
	n := &apns2.Notification{
		DeviceToken: to.Token, Topic: c.topic, Payload: payload, CollapseID: m.CollapseID(),
		Expiration: m.Expires, Priority: apns2.PriorityLow,
	}
	if m.Urgent {
		n.Priority = apns2.PriorityHigh
	}
	ctx, exchange := channel.Observe(ctx)
	response, err := c.client.PushWithContext(ctx, n)
	switch {
	case err != nil && response != nil: // a response that is no JSON
		return channel.Errorf(channel.Unknown, "unreadable response: %w", err)
	case err != nil:
		return exchange.Failure(err)
	case response.Sent():
		return nil
	}
	return &channel.Error{
		Verdict: verdict(response), After: exchange.RetryAfter(), Since: since(response),
		Err: fmt.Errorf("APNs answered %d %s", response.StatusCode, response.Reason),
	}
}

// payloadOf is the JSON that the device gets; the app's data are beside "aps".
func payloadOf(m channel.Message) ([]byte, error) {
	members := map[string]any{}
	for name, value := range m.Data {
		members[name] = value
	}
	members["aps"] = map[string]any{"alert": map[string]string{"title": m.Title, "body": m.Body}, "sound": "default"}
	payload, err := json.Marshal(members)
	if err != nil || len(payload) > MaxPayload {
		return nil, channel.Errorf(channel.Rejected, "the payload has %d bytes, more than %d: shorten the template or the data", len(payload), MaxPayload)
	}
	return payload, nil
}

// verdict follows Apple's table "Handling notification responses from APNs".
func verdict(r *apns2.Response) channel.Verdict {
	switch r.Reason {
	case apns2.ReasonUnregistered, apns2.ReasonExpiredToken:
		return channel.Gone
	case apns2.ReasonTopicDisallowed, apns2.ReasonBadTopic, apns2.ReasonMissingTopic:
		return channel.Denied
	}
	if r.StatusCode == http.StatusGone {
		return channel.Gone
	}
	return channel.VerdictOfStatus(r.StatusCode)
}

// since is the end of the second that the client reads, in which Apple's timestamp is:
// an address that was registered within it may be the dead one.
func since(r *apns2.Response) time.Time {
	if r.Timestamp.IsZero() {
		return time.Time{}
	}
	return r.Timestamp.Add(time.Second - time.Millisecond)
}
