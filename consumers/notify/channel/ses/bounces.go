package ses

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// Bounce is a mail that will never arrive, or that the recipient complained of.
type Bounce struct {
	User    string // "" where the mail carries none
	Address channel.Address
	At      time.Time
}

// feedback is an event that SES publishes; notifications, its older form, say
// notificationType.
type feedback struct {
	EventType        string `json:"eventType"`
	NotificationType string `json:"notificationType"`
	Mail             struct {
		Tags map[string][]string `json:"tags"`
	} `json:"mail"`
	Bounce struct {
		BounceType        string      `json:"bounceType"`
		BouncedRecipients []recipient `json:"bouncedRecipients"`
		Timestamp         time.Time   `json:"timestamp"`
	} `json:"bounce"`
	Complaint struct {
		ComplainedRecipients []recipient `json:"complainedRecipients"`
		Timestamp            time.Time   `json:"timestamp"`
	} `json:"complaint"`
}

type recipient struct {
	EmailAddress string `json:"emailAddress"`
}

// Bounces reads an event that SES published, as it is in the message of SNS:
// https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html
// Permanent bounces and complaints count, others are no reason to prune an address and
// give none.
func Bounces(event []byte) ([]Bounce, error) {
	var f feedback
	if err := json.Unmarshal(event, &f); err != nil {
		return nil, fmt.Errorf("decode an event of SES: %w", err)
	}
	user := ""
	if tags := f.Mail.Tags[tagUser]; len(tags) == 1 {
		if raw, err := base64.RawURLEncoding.DecodeString(tags[0]); err == nil {
			user = string(raw)
		}
	}
	recipients, at := f.Complaint.ComplainedRecipients, f.Complaint.Timestamp
	switch kind := f.EventType + f.NotificationType; {
	case kind == "Bounce" && f.Bounce.BounceType == "Permanent":
		recipients, at = f.Bounce.BouncedRecipients, f.Bounce.Timestamp
	case kind != "Complaint":
		return nil, nil
	}
	var all []Bounce
	for _, r := range recipients {
		all = append(all, Bounce{user, channel.Address{Channel: channel.SES, Token: r.EmailAddress}, at})
	}
	return all, nil
}
