package channeltest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// What [FCM] expects of a client.
const (
	FCMProject = "example-project"
	fcmAccess  = "an access token"
	fcmEmail   = "sender@example-project.iam.gserviceaccount.com"
)

// FCM starts a server of Firebase's HTTP v1 API and of Google's token endpoint, and
// returns the credentials of a service account.
func FCM(t testing.TB) (*Server, string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	server := start(t, readFCM, func(w http.ResponseWriter) {
		_, _ = w.Write([]byte(`{"name":"projects/example-project/messages/0:1500415314455276"}`))
	})
	messages := server.Config.Handler
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/token" {
			messages.ServeHTTP(w, r)
			return
		}
		if err := checkAssertion(r, &key.PublicKey, server.URL+"/token"); err != nil {
			t.Errorf("the token endpoint would refuse: %v", err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3599}`, fcmAccess)
	})
	credentials, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": FCMProject, "private_key_id": "key1", "client_email": fcmEmail, "token_uri": server.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return server, string(credentials)
}

// checkAssertion is of RFC 7523, section 2.1.
func checkAssertion(r *http.Request, key *rsa.PublicKey, audience string) error {
	if grant := r.PostFormValue("grant_type"); grant != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		return fmt.Errorf("grant_type %q", grant)
	}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(r.PostFormValue("assertion"), claims, func(*jwt.Token) (any, error) { return key, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithAudience(audience), jwt.WithIssuer(fcmEmail), jwt.WithExpirationRequired())
	if err == nil && claims["scope"] != "https://www.googleapis.com/auth/firebase.messaging" {
		err = fmt.Errorf("scope %v", claims["scope"])
	}
	return err
}

// readFCM is of https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
func readFCM(r *http.Request, body []byte) (Push, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/v1/projects/"+FCMProject+"/messages:send" {
		return Push{}, errors.New("NOT_FOUND")
	}
	if r.Header.Get("Authorization") != "Bearer "+fcmAccess {
		return Push{}, errors.New("UNAUTHENTICATED")
	}
	var in struct {
		Message struct {
			Token        string
			Notification struct{ Title, Body string }
			Data         map[string]string
			Android      struct {
				CollapseKey string `json:"collapse_key"`
				Priority    string
				TTL         string
			}
		}
	}
	if err := json.Unmarshal(body, &in); err != nil || in.Message.Token == "" {
		return Push{}, fmt.Errorf("INVALID_ARGUMENT: %w", err)
	}
	m := in.Message
	if p := m.Android.Priority; p != "NORMAL" && p != "HIGH" {
		return Push{}, fmt.Errorf("INVALID_ARGUMENT: priority %q", p)
	}
	r.Header.Set("Test-Priority", m.Android.Priority)
	r.Header.Set("Test-TTL", m.Android.TTL)
	return Push{Token: m.Token, Title: m.Notification.Title, Body: m.Notification.Body, Data: m.Data, Collapse: m.Android.CollapseKey}, nil
}
