// Package webpush sends notifications to browsers, through their vendors' push services
// (RFC 8030), encrypted for the browser (RFC 8291) and signed with the application's
// VAPID key (RFC 8292), through github.com/SherClockHolmes/webpush-go.
//
// The browser's service worker is given JSON: title, body, id, and the app's data.
//
// Caveats:
//
//   - The endpoint is what a browser sent, and so anybody's: it must be HTTPS, and an
//     address that is not public is refused unless Config.Private says otherwise.
//   - Each message costs two signatures and an agreement on a key: about a fifth of what
//     the other channels reach.
//   - It has been tested against servers of our own that speak the protocol, and decrypt.
//     No notification has gone to a vendor.
package webpush

import (
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/SherClockHolmes/webpush-go"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// defaultTTL is that of a message that does not expire: what push services keep at most.
const defaultTTL = 28 * 24 * time.Hour

// Config configures New. Key and Subject are required.
type Config struct {
	// Key is the VAPID private key: 32 bytes in base64 for URLs.
	Key string
	// Subject is how a push service reaches us: an e-mail address or an https URL.
	Subject string
	// Private allows endpoints in private networks and on this machine.
	Private bool
	// TLS may have other roots than the system's.
	TLS *tls.Config
}

// Channel sends to push services. It is safe for concurrent use.
type Channel struct {
	client  *http.Client
	options webpush.Options
}

// New makes a channel. It connects with the first message.
func New(cfg Config) (*Channel, error) {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(cfg.Key, "="))
	if err != nil {
		return nil, errors.New("webpush: the VAPID key must be base64 for URLs") // err would show where
	}
	key, err := ecdh.P256().NewPrivateKey(raw)
	if err != nil {
		return nil, errors.New("webpush: the VAPID key must be a private key of P-256, 32 bytes")
	}
	if !strings.Contains(cfg.Subject, "@") && !strings.HasPrefix(cfg.Subject, "https://") {
		return nil, fmt.Errorf("webpush: the subject must be an e-mail address or an https URL, not %q", cfg.Subject)
	}
	control := publicOnly
	if cfg.Private {
		control = nil
	}
	client := channel.NewClient(cfg.TLS, control)
	if !cfg.Private {
		client.Transport.(channel.Transport).RoundTripper.(*http.Transport).Proxy = nil // the check is of the endpoint's address
	}
	return &Channel{client: client, options: webpush.Options{
		HTTPClient: client, Subscriber: strings.TrimPrefix(cfg.Subject, "mailto:"),
		VAPIDPrivateKey: base64.RawURLEncoding.EncodeToString(raw),
		VAPIDPublicKey:  base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes()),
	}}, nil
}

// publicOnly refuses addresses that a browser's push service does not have, so that
// whoever registers an endpoint cannot have requests sent into our own network.
func publicOnly(_, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if ip := at.Addr().Unmap(); !ip.IsGlobalUnicast() || ip.IsPrivate() || carrierNAT.Contains(ip) {
		return errPrivate
	}
	return nil
}

// carrierNAT is shared address space (RFC 6598), which is as little public.
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

var errPrivate = errors.New("the endpoint's address is not public")

// Close closes the connections that are idle.
func (c *Channel) Close() { c.client.CloseIdleConnections() }

// Send implements [channel.Channel].
func (c *Channel) Send(ctx context.Context, to channel.Address, m channel.Message) error {
	if u, err := url.Parse(to.Token); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return channel.Errorf(channel.Rejected, "the endpoint of a subscription must be an https URL")
	}
	payload, err := json.Marshal(map[string]any{"id": m.ID, "title": m.Title, "body": m.Body, "data": m.Data})
	if err != nil {
		return channel.Errorf(channel.Rejected, "encode the message: %w", err)
	}
	options := c.options
	options.Topic, options.TTL, options.Urgency = m.CollapseID(), int(defaultTTL.Seconds()), webpush.UrgencyNormal
	if !m.Expires.IsZero() {
		options.TTL = int(m.TTL(time.Now()).Seconds())
	}
	if m.Urgent {
		options.Urgency = webpush.UrgencyHigh
	}
	ctx, exchange := channel.Observe(ctx)
	subscription := &webpush.Subscription{Endpoint: to.Token, Keys: webpush.Keys{Auth: to.Auth, P256dh: to.P256dh}}
	response, err := webpush.SendNotificationWithContext(ctx, payload, subscription, &options)
	if err != nil {
		return failure(exchange, err)
	}
	_ = channel.ReadBody(response)
	if response.StatusCode/100 == 2 {
		return nil
	}
	return &channel.Error{
		Verdict: verdict(response.StatusCode), After: exchange.RetryAfter(), Err: fmt.Errorf("the push service answered %d", response.StatusCode),
	}
}

// failure is the verdict of an error before the answer: of the client's transport, or
// because the keys of the subscription or the payload are of no use.
func failure(exchange *channel.Exchange, err error) error {
	if errors.Is(err, errPrivate) {
		return channel.Errorf(channel.Rejected, "%w", errPrivate)
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return exchange.Failure(err)
	}
	return channel.Errorf(channel.Rejected, "encrypt the message: %w", err)
}

// verdict is by RFC 8030, sections 5 and 7.3, and RFC 8292, section 4.2.
func verdict(status int) channel.Verdict {
	if status == http.StatusNotFound || status == http.StatusGone {
		return channel.Gone
	}
	return channel.VerdictOfStatus(status)
}
