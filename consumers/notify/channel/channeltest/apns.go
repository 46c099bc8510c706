package channeltest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// What [APNs] expects of a client.
const (
	APNsKeyID  = "KEYID12345"
	APNsTeamID = "TEAMID1234"
	APNsTopic  = "com.example.app"
)

// APNs starts a server of Apple's protocol, and returns the .p8 key whose tokens it
// accepts: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
func APNs(t testing.TB) (*Server, string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var known sync.Map // tokens that were verified
	read := func(r *http.Request, body []byte) (Push, error) {
		bearer := strings.TrimPrefix(r.Header.Get("authorization"), "bearer ")
		if _, ok := known.Load(bearer); !ok {
			if err := checkProviderToken(bearer, &key.PublicKey); err != nil {
				return Push{}, err
			}
			known.Store(bearer, true)
		}
		return readAPNs(r, body)
	}
	server := start(t, read, func(http.ResponseWriter) {})
	return server, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func checkProviderToken(bearer string, key *ecdsa.PublicKey) error {
	claims := jwt.MapClaims{}
	token, err := jwt.ParseWithClaims(bearer, claims, func(*jwt.Token) (any, error) { return key, nil }, jwt.WithValidMethods([]string{"ES256"}))
	if err != nil {
		return fmt.Errorf("InvalidProviderToken: %w", err)
	}
	if token.Header["kid"] != APNsKeyID || claims["iss"] != APNsTeamID || claims["iat"] == nil {
		return fmt.Errorf("InvalidProviderToken: %v %v", token.Header, claims)
	}
	return nil
}

func readAPNs(r *http.Request, body []byte) (Push, error) {
	token, ok := strings.CutPrefix(r.URL.Path, "/3/device/")
	switch {
	case r.Method != http.MethodPost || !ok || token == "":
		return Push{}, errors.New("BadPath")
	case r.Header.Get("apns-topic") != APNsTopic:
		return Push{}, errors.New("BadTopic")
	case len(r.Header.Get("apns-collapse-id")) > 64:
		return Push{}, errors.New("BadCollapseId")
	case r.Header.Get("apns-push-type") != "alert":
		return Push{}, errors.New("InvalidPushType")
	case len(body) > 4096:
		return Push{}, errors.New("PayloadTooLarge")
	}
	var payload struct {
		APS struct {
			Alert struct{ Title, Body string }
		}
	}
	if err := json.Unmarshal(body, &payload); err != nil {
		return Push{}, err
	}
	data := map[string]any{}
	_ = json.Unmarshal(body, &data) // it did above
	p := Push{Token: token, Title: payload.APS.Alert.Title, Body: payload.APS.Alert.Body, Collapse: r.Header.Get("apns-collapse-id"), Data: map[string]string{}}
	for name, value := range data {
		if text, ok := value.(string); ok {
			p.Data[name] = text
		}
	}
	return p, nil
}
