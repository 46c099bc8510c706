// Package setup makes the channels and the engine of notifications from the environment,
// for functions and commands:
//
//	APNS_KEY               the text of the .p8 file; with it APNS_KEY_ID, APNS_TEAM_ID and
//	                       APNS_TOPIC, and APNS_HOST for Apple's development server
//	FCM_CREDENTIALS        the JSON file of a service account; FCM_HOST for another server
//	VAPID_KEY              the private key for web push; with it VAPID_SUBJECT
//	SES_FROM               the sender of mails; SES_CONFIGURATION_SET publishes bounces
//
//	NOTIFICATIONS_TABLE    the table, default banyan-notifications
//	QUIET_HOURS            of users who have not chosen, default 22:00-07:00; off for none
//	QUIET_ZONE             their time zone, default UTC
//	NOTIFICATION_LIMIT     of a user, default 10/10m: ten at once, one more each ten minutes
//
// A channel is there if its first variable is. APNS_KEY, FCM_CREDENTIALS and VAPID_KEY are
// secrets, and may be references (ssm:/name or secret:name, see package config); they are
// read once. The package brings the time zones along.
//
// IAM, on the table: dynamodb:GetItem, PutItem, DeleteItem, Query; for mails ses:SendEmail on
// the identity; and what package config asks for references.
package setup

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // Lambda has none

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/banyan-fig/banyan/consumers/notify"
	"github.com/banyan-fig/banyan/consumers/notify/channel"
	"github.com/banyan-fig/banyan/consumers/notify/channel/apns"
	"github.com/banyan-fig/banyan/consumers/notify/channel/fcm"
	"github.com/banyan-fig/banyan/consumers/notify/channel/ses"
	"github.com/banyan-fig/banyan/consumers/notify/channel/webpush"
	"github.com/banyan-fig/banyan/consumers/notify/store"
	"github.com/banyan-fig/banyan/consumers/notify/template"
	"github.com/banyan-fig/banyan/infra/config"
)

// TableVariable names the table's variable.
const TableVariable = "NOTIFICATIONS_TABLE"

// Environment is what an engine is made of.
type Environment struct {
	Getenv func(string) string
	// AWS is for mails.
	AWS aws.Config
	// Client and Table are the store's.
	Client store.Client
	Table  string
	Logger *slog.Logger
}

// Engine makes an engine; templates may be nil for one that only sweeps.
func Engine(ctx context.Context, e Environment, templates template.Set) (*notify.Engine, error) {
	channels, err := Channels(ctx, e.Getenv, e.AWS)
	if err != nil {
		return nil, err
	}
	cfg := notify.Config{Store: store.New(e.Client, e.Table), Templates: templates, Channels: channels, Quiet: e.Getenv("QUIET_HOURS"), Logger: e.Logger}
	if cfg.Zone, err = time.LoadLocation(cmp.Or(e.Getenv("QUIET_ZONE"), "UTC")); err != nil {
		return nil, fmt.Errorf("invalid QUIET_ZONE: %w", err)
	}
	if text := e.Getenv("NOTIFICATION_LIMIT"); text != "" {
		if cfg.Limit, err = parseLimit(text); err != nil {
			return nil, err
		}
	}
	return notify.New(cfg)
}

func parseLimit(text string) (store.Limit, error) {
	burst, every, _ := strings.Cut(text, "/")
	n, errBurst := strconv.Atoi(burst)
	d, errEvery := time.ParseDuration(every)
	if errBurst != nil || errEvery != nil || n < 1 || d < time.Millisecond {
		return store.Limit{}, fmt.Errorf("invalid NOTIFICATION_LIMIT %q: must be such as 10/10m", text)
	}
	return store.Limit{Burst: n, Every: d}, nil
}

// Channels makes those that the environment has.
func Channels(ctx context.Context, getenv func(string) string, sdk aws.Config) (map[string]channel.Channel, error) {
	s := secrets{ctx: ctx, getenv: getenv, settings: config.NewSettings()}
	defer s.settings.Close()
	all := map[string]channel.Channel{}
	for name, open := range map[string]func(secrets, aws.Config) (channel.Channel, error){
		channel.APNs: openAPNs, channel.FCM: openFCM, channel.WebPush: openWebPush, channel.SES: openSES,
	} {
		if getenv(variables[name]) == "" {
			continue
		}
		opened, err := open(s, sdk)
		if err != nil {
			return nil, fmt.Errorf("channel %s: %w", name, err)
		}
		all[name] = opened
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no channel is configured: set APNS_KEY, FCM_CREDENTIALS, VAPID_KEY or SES_FROM")
	}
	return all, nil
}

// variables are those that make a channel be there.
var variables = map[string]string{
	channel.APNs: "APNS_KEY", channel.FCM: "FCM_CREDENTIALS", channel.WebPush: "VAPID_KEY", channel.SES: "SES_FROM",
}

type secrets struct {
	ctx      context.Context
	getenv   func(string) string
	settings *config.Settings
}

// read resolves the secret of a variable.
func (s secrets) read(variable string) (string, error) {
	setting, err := s.settings.Secret(s.ctx, variable, s.getenv(variable))
	if err != nil {
		return "", err
	}
	defer setting.Close()
	secret, err := setting.Get(s.ctx)
	return secret.Reveal(), err
}

func openAPNs(s secrets, _ aws.Config) (channel.Channel, error) {
	key, err := s.read("APNS_KEY")
	if err != nil {
		return nil, err
	}
	return apns.New(apns.Config{
		Key: key, KeyID: s.getenv("APNS_KEY_ID"), TeamID: s.getenv("APNS_TEAM_ID"), Topic: s.getenv("APNS_TOPIC"), Host: s.getenv("APNS_HOST"),
	})
}

func openFCM(s secrets, _ aws.Config) (channel.Channel, error) {
	credentials, err := s.read("FCM_CREDENTIALS")
	if err != nil {
		return nil, err
	}
	return fcm.New(fcm.Config{Credentials: credentials, Host: s.getenv("FCM_HOST")})
}

func openWebPush(s secrets, _ aws.Config) (channel.Channel, error) {
	key, err := s.read("VAPID_KEY")
	if err != nil {
		return nil, err
	}
	return webpush.New(webpush.Config{Key: key, Subject: s.getenv("VAPID_SUBJECT")})
}

func openSES(s secrets, sdk aws.Config) (channel.Channel, error) {
	return ses.New(ses.Config{AWS: sdk, From: s.getenv("SES_FROM"), ConfigurationSet: s.getenv("SES_CONFIGURATION_SET")})
}
