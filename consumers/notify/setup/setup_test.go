package setup_test

import (
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/channeltest"
	"github.com/banyan-fig/banyan/consumers/notify/setup"
)

func TestChannels(t *testing.T) {
	_, p8 := channeltest.APNs(t)
	_, credentials := channeltest.FCM(t)
	_, _, vapid := channeltest.WebPush(t)
	all := map[string]string{
		"APNS_KEY": p8, "APNS_KEY_ID": "k", "APNS_TEAM_ID": "t", "APNS_TOPIC": "x", "FCM_CREDENTIALS": credentials,
		"VAPID_KEY": vapid, "VAPID_SUBJECT": "ops@example.com", "SES_FROM": "news@example.com", "QUIET_ZONE": "Europe/Vienna", "NOTIFICATION_LIMIT": "3/1h",
	}
	getenv := func(name string) string { return all[name] }
	channels, err := setup.Channels(t.Context(), getenv, aws.Config{Region: "eu-west-1"})
	if err != nil || len(channels) != len(channel.Names()) {
		t.Fatalf("%v, %v", channels, err)
	}
	engine := func() error {
		_, err := setup.Engine(t.Context(), setup.Environment{Getenv: getenv, Table: "t", Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}, nil)
		return err
	}
	if err := engine(); err != nil {
		t.Error(err)
	}
	for name, value := range map[string]string{
		"APNS_KEY": "secret!", "FCM_CREDENTIALS": "secret!", "VAPID_KEY": "secret!", "SES_FROM": "nobody", "QUIET_HOURS": "late",
		"QUIET_ZONE": "Nowhere/Land", "NOTIFICATION_LIMIT": "10",
	} {
		before := all[name]
		all[name] = value
		if err := engine(); err == nil || strings.Contains(err.Error(), "secret!") {
			t.Errorf("%s=%s: %v", name, value, err)
		}
		all[name] = before
	}
}
