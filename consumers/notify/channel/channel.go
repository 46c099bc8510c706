// Package channel is what the channels of notifications have in common: an address, a
// message, and what became of one message sent to one address.
//
// A [Channel] makes one attempt. It returns nil where the provider accepted the message,
// which is not that a person saw it, and an [Error] otherwise, whose [Verdict] decides
// what the caller may do: send again, prune the address, or give up.
package channel

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"time"
)

// The names of the channels.
const (
	APNs    = "apns"    // Apple's push service
	FCM     = "fcm"     // Firebase Cloud Messaging
	WebPush = "webpush" // RFC 8030, 8291 and 8292
	SES     = "ses"     // e-mail by Amazon SES
)

// Names are all channels.
func Names() []string { return []string{APNs, FCM, WebPush, SES} }

// The limits of an address and a message, in bytes. APNs and FCM accept payloads of
// 4,096 bytes, push services those of 3,993 (RFC 8291); the channels check these.
const (
	MaxToken   = 1024
	MaxKey     = 256
	MaxMessage = 64 << 10 // title, body, HTML and data together
)

// Address is one place where a user is reached.
type Address struct {
	// Channel is one of [Names].
	Channel string `json:"channel" dynamodbav:"channel"`
	// Token is the device token (APNs), the registration token (FCM), the endpoint of
	// the subscription (web push), or the e-mail address (SES).
	Token string `json:"token" dynamodbav:"token"`
	// Auth and P256dh are the keys of a web push subscription, in base64.
	Auth   string `json:"auth,omitempty" dynamodbav:"auth,omitempty"`
	P256dh string `json:"p256dh,omitempty" dynamodbav:"p256dh,omitempty"`
	// Registered is when the app last said that the address is valid.
	Registered time.Time `json:"registered,omitzero" dynamodbav:"-"`
}

// Validate reports what the address lacks. It does not ask the provider.
func (a Address) Validate() error {
	switch {
	case a.Channel != APNs && a.Channel != FCM && a.Channel != WebPush && a.Channel != SES:
		return fmt.Errorf("unknown channel %q: must be one of %v", a.Channel, Names())
	case a.Token == "" || len(a.Token) > MaxToken:
		return fmt.Errorf("a %s token must have 1 to %d bytes, not %d", a.Channel, MaxToken, len(a.Token))
	case len(a.Auth) > MaxKey || len(a.P256dh) > MaxKey:
		return fmt.Errorf("the keys of a web push subscription have at most %d bytes", MaxKey)
	case a.Channel == WebPush && (a.Auth == "" || a.P256dh == ""):
		return errors.New("a web push subscription needs its keys auth and p256dh")
	}
	return nil
}

// ID names the address without showing it: the channel and a hash of the token. It is
// fit for logs and keys.
func (a Address) ID() string {
	sum := sha256.Sum256([]byte(a.Token))
	return a.Channel + "#" + base64.RawURLEncoding.EncodeToString(sum[:15])
}

// Message is a rendered notification.
type Message struct {
	// ID is the same for every attempt at the same notification. Where the protocol
	// can (APNs, FCM, web push), a device that is sent two messages of one ID shows one.
	ID string `json:"id"`
	// User is the recipient, "" where none is known.
	User string `json:"user,omitempty"`
	// Title and Body are plain text; the subject and the text of a mail.
	Title string `json:"title"`
	Body  string `json:"body,omitempty"`
	// HTML is the body of a mail besides Body, "" for none.
	HTML string `json:"html,omitempty"`
	// Data goes to the app as it is.
	Data map[string]string `json:"data,omitempty"`
	// Expires is when the provider stops trying to reach the device; zero: its default.
	Expires time.Time `json:"expires,omitzero"`
	// Urgent asks for delivery at once, also to a device that saves power.
	Urgent bool `json:"urgent,omitempty"`
}

// CollapseID is a short form of ID: 32 characters of the alphabet of base64 for URLs,
// the longest that web push allows as a Topic (RFC 8030, section 5.4).
func (m Message) CollapseID() string {
	sum := sha256.Sum256([]byte(m.ID))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// TTL is how long from now the message is worth sending, 0 where Expires is not set.
func (m Message) TTL(now time.Time) time.Duration {
	if m.Expires.IsZero() {
		return 0
	}
	return max(m.Expires.Sub(now), 0)
}

// Channel sends messages to the addresses of one channel. It makes one attempt, returns
// before ctx ends, and is safe for concurrent use. Its errors are [*Error].
type Channel interface {
	Send(ctx context.Context, to Address, m Message) error
}
