package channeltest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/banyan-fig/banyan/consumers/notify/channel"
)

// Browser is a subscription, and can read what is pushed to it.
type Browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

// WebPush starts a push service (RFC 8030) with one browser behind it, which decrypts
// (RFC 8291) what is signed with a VAPID key (RFC 8292), and returns that key. Pushes have
// the path of the endpoint as their token.
func WebPush(t testing.TB) (server *Server, subscription channel.Address, vapid string) {
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := Browser{own, make([]byte, 16)}
	_, _ = rand.Read(b.auth)
	signing, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	read := func(r *http.Request, body []byte) (Push, error) {
		if err := checkVAPID(r, server.URL, signing.PublicKey().Bytes()); err != nil {
			return Push{}, err
		}
		return b.read(r, body)
	}
	server = start(t, read, func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated) })
	return server, channel.Address{
		Channel: channel.WebPush, Token: server.URL + "/push/1",
		Auth: base64.RawURLEncoding.EncodeToString(b.auth), P256dh: base64.RawURLEncoding.EncodeToString(own.PublicKey().Bytes()),
	}, base64.RawURLEncoding.EncodeToString(signing.Bytes())
}

func checkVAPID(r *http.Request, audience string, public []byte) error {
	header, ok := strings.CutPrefix(r.Header.Get("Authorization"), "vapid t=")
	token, key, both := strings.Cut(header, ", k=")
	if !ok || !both || key != base64.RawURLEncoding.EncodeToString(public) {
		return fmt.Errorf("authorization %q", r.Header.Get("Authorization"))
	}
	verify, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), public)
	if err != nil {
		return err
	}
	claims := jwt.MapClaims{}
	_, err = jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return verify, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithAudience(audience), jwt.WithExpirationRequired())
	if subject, _ := claims["sub"].(string); err == nil && !strings.HasPrefix(subject, "mailto:") {
		err = fmt.Errorf("sub %q", subject)
	}
	return err
}

func (b Browser) read(r *http.Request, body []byte) (Push, error) {
	switch {
	case r.Method != http.MethodPost || r.Header.Get("TTL") == "":
		return Push{}, errors.New("the header TTL is required (RFC 8030, section 5.2)")
	case r.Header.Get("Content-Encoding") != "aes128gcm":
		return Push{}, errors.New("the content encoding must be aes128gcm")
	case len(r.Header.Get("Topic")) > 32:
		return Push{}, errors.New("a topic has at most 32 characters (RFC 8030, section 5.4)")
	case len(body) > 4096:
		return Push{}, errors.New("413")
	}
	text, err := b.decrypt(body)
	if err != nil {
		return Push{}, err
	}
	p := Push{Token: r.URL.Path, Collapse: r.Header.Get("Topic")}
	return p, json.Unmarshal(text, &p)
}

// decrypt is of RFC 8291, section 3.4, and RFC 8188, section 2.
func (b Browser) decrypt(body []byte) ([]byte, error) {
	if len(body) < 21+65 || body[20] != 65 {
		return nil, errors.New("the header of aes128gcm is short")
	}
	salt, sender, record := body[:16], body[21:86], body[86:]
	public, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return nil, err
	}
	secret, err := b.key.ECDH(public)
	if err != nil {
		return nil, err
	}
	ikm, err := derive(secret, b.auth, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(sender), 32)
	if err != nil {
		return nil, err
	}
	key, errKey := derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16)
	nonce, errNonce := derive(ikm, salt, "Content-Encoding: nonce\x00", 12)
	block, errBlock := aes.NewCipher(key)
	if err := errors.Join(errKey, errNonce, errBlock); err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	padded, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutSuffix(strings.TrimRight(string(padded), "\x00"), "\x02")
	if !ok {
		return nil, errors.New("the last record has no delimiter")
	}
	return []byte(text), nil
}

func derive(secret, salt []byte, info string, length int) ([]byte, error) {
	return hkdf.Key(sha256.New, secret, salt, info, length)
}
