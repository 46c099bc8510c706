// Package ses sends notifications as mail, by Amazon SES.
//
// A mail that SES accepted may bounce hours later. SES says so by an event, which
// [Bounces] reads; each mail carries its user as a tag, so that the address can be pruned.
//
// Caveats:
//
//   - SES has no idempotency token: a mail whose answer was lost is sent twice, or not,
//     as its template decides.
//   - It has been tested against a server of our own that speaks the API, and not with AWS.
package ses

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/mail"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sesv2"
	"github.com/aws/aws-sdk-go-v2/service/sesv2/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// tagUser is the tag with the user's id, in base64, since tags have few characters.
const tagUser = "banyan-user"

// maxTag is SES's limit of a tag's value.
const maxTag = 256

// Config configures New. From is required.
type Config struct {
	AWS aws.Config
	// From is the sender, such as "Shop <news@example.com>".
	From string
	// ConfigurationSet publishes the events of [Bounces]. "" for none.
	ConfigurationSet string
}

// Channel sends by SES. It is safe for concurrent use.
type Channel struct {
	client *sesv2.Client
	cfg    Config
}

// New makes a channel.
func New(cfg Config) (*Channel, error) {
	if _, err := mail.ParseAddress(cfg.From); err != nil {
		return nil, fmt.Errorf("ses: invalid sender %q: %w", cfg.From, err)
	}
	client := sesv2.NewFromConfig(cfg.AWS, func(o *sesv2.Options) { o.Retryer = aws.NopRetryer{} }) // the caller retries, and knows whether it may
	return &Channel{client, cfg}, nil
}

// Send implements [channel.Channel].
func (c *Channel) Send(ctx context.Context, to channel.Address, m channel.Message) error {
	if a, err := mail.ParseAddress(to.Token); err != nil || a.Name != "" {
		return channel.Errorf(channel.Rejected, "the address is no e-mail address")
	}
	text := func(s string) *types.Content {
		return &types.Content{Data: aws.String(s), Charset: aws.String("UTF-8")}
	}
	body := &types.Body{Text: text(m.Body)}
	if m.HTML != "" {
		body.Html = text(m.HTML)
	}
	in := &sesv2.SendEmailInput{
		FromEmailAddress: &c.cfg.From,
		Destination:      &types.Destination{ToAddresses: []string{to.Token}},
		Content:          &types.EmailContent{Simple: &types.Message{Subject: text(m.Title), Body: body}},
	}
	if c.cfg.ConfigurationSet != "" {
		in.ConfigurationSetName = &c.cfg.ConfigurationSet
	}
	if user := base64.RawURLEncoding.EncodeToString([]byte(m.User)); user != "" && len(user) <= maxTag {
		in.EmailTags = []types.MessageTag{{Name: aws.String(tagUser), Value: &user}}
	}
	ctx, exchange := channel.Observe(ctx)
	_, err := c.client.SendEmail(ctx, in)
	if err == nil {
		return nil
	}
	return verdict(exchange, err)
}

// verdict follows the errors of SendEmail in the API's reference.
func verdict(exchange *channel.Exchange, err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return exchange.Failure(err)
	}
	status, after := 0, time.Duration(0)
	if response, ok := errors.AsType[*smithyhttp.ResponseError](err); ok && response.Response != nil {
		status, after = response.HTTPStatusCode(), channel.RetryAfter(response.Response.Header, time.Now())
	}
	v := channel.VerdictOfStatus(status)
	switch api.ErrorCode() {
	case "TooManyRequestsException", "LimitExceededException", "ThrottlingException":
		v = channel.Refused
	case "AccountSuspendedException", "SendingPausedException", "MailFromDomainNotVerifiedException", "NotFoundException":
		v = channel.Denied
	}
	return &channel.Error{Verdict: v, After: after, Err: fmt.Errorf("SES answered %d %s", status, api.ErrorCode())} // its message may have the address
}
