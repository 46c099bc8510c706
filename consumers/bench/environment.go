package main

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"path/filepath"
	"strings"
)

// environment is one in which every function of this repository starts, which runs beside a
// sandbox: all variables that any of them needs.
func environment(dir string, box []string) ([]string, error) {
	schemas, err := filepath.Abs("events/social/testdata/asyncapi.json")
	if err != nil {
		return nil, err
	}
	p8, credentials, vapid, err := channelKeys()
	if err != nil {
		return nil, err
	}
	const arn = "arn:aws:kinesis:us-east-1:000000000000:stream/" + name
	env := map[string]string{
		"SCHEMAS": schemas, "ARCHIVE": filepath.Join(dir, "archive"), "WAREHOUSE": filepath.Join(dir, "warehouse"), "EVENTS_STREAM": name,
		"OPENSEARCH_URL": "http://127.0.0.1:9", "SEARCH_TEXT": "name", "BANYAN_JWT_SECRET": strings.Repeat("bench-only ", 4), "SOCIAL_SERVICE": "posts",
		"AUTOSCALE_STREAMS": `[{"stream":"` + name + `","min":1,"max":2}]`, "WARM_FUNCTIONS": name, "AWS_LAMBDA_FUNCTION_NAME": name,
		"LOG_STREAM_ARN": arn, "LOG_ROLE_ARN": "arn:aws:iam::000000000000:role/" + name, "LOG_DEAD_LETTER_URL": "http://127.0.0.1:9/" + name,
		"LOOP_QUEUES": `[{"queue":"http://127.0.0.1:9/000000000000/` + name + `","handler":"` + name + `","min":1,"max":1}]`, "LOOP_FUNCTION": name,
		"APNS_KEY": p8, "APNS_KEY_ID": name, "APNS_TEAM_ID": name, "APNS_TOPIC": name, "FCM_CREDENTIALS": credentials,
		"VAPID_KEY": vapid, "VAPID_SUBJECT": name + "@example.com", "SES_FROM": name + "@example.com",
	}
	for _, table := range strings.Fields("PROFILE RECOMMENDATIONS RECOMMEND TIMELINE NOTIFICATIONS DEAD_LETTER OUTBOX AUTOSCALE LOOP SEARCH BANYAN_CONTROL") {
		env[table+"_TABLE"] = name
	}
	maps.Copy(env, environ(box))
	all := make([]string, 0, len(env))
	for k, v := range env {
		all = append(all, k+"="+v)
	}
	return all, nil
}

// environ is an environment by name.
func environ(all []string) map[string]string {
	by := map[string]string{}
	for _, kv := range all {
		k, v, _ := strings.Cut(kv, "=")
		by[k] = v
	}
	return by
}

// channelKeys are a key for APNs, credentials for FCM and a key for web push, of nobody.
func channelKeys() (p8, credentials, vapid string, err error) {
	apple, errA := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	google, errG := rsa.GenerateKey(rand.Reader, 2048)
	push, errP := ecdh.P256().GenerateKey(rand.Reader)
	if err := errors.Join(errA, errG, errP); err != nil {
		return "", "", "", err
	}
	der, err := x509.MarshalPKCS8PrivateKey(apple)
	if err != nil {
		return "", "", "", err
	}
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": name, "private_key_id": name, "client_email": name + "@example.com", "token_uri": "https://127.0.0.1:9/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(google)})),
	})
	p8 = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return p8, string(account), base64.RawURLEncoding.EncodeToString(push.Bytes()), err
}
