package channeltest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// SES starts a server of the operation SendEmail of Amazon SES, API version 2, and returns
// the configuration of a client. Pushes have the recipient as their token.
func SES(t testing.TB) (*Server, aws.Config) {
	server := start(t, readSES, func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"MessageId":"0102018b-1"}`))
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: server.ClientTLS(), ForceAttemptHTTP2: true}}
	t.Cleanup(client.CloseIdleConnections)
	return server, aws.Config{
		Region: "eu-west-1", BaseEndpoint: &server.URL, HTTPClient: client, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}
}

func readSES(r *http.Request, body []byte) (Push, error) {
	if r.Method != http.MethodPost || r.URL.Path != "/v2/email/outbound-emails" || !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ") {
		return Push{}, errors.New("not a signed SendEmail")
	}
	type content struct{ Data, Charset string }
	var in struct {
		FromEmailAddress string
		Destination      struct{ ToAddresses []string }
		Content          struct {
			Simple struct {
				Subject content
				Body    struct{ Text, Html content } //nolint:staticcheck // as the API calls it
			}
		}
		EmailTags []struct{ Name, Value string }
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return Push{}, err
	}
	if len(in.Destination.ToAddresses) != 1 || in.FromEmailAddress == "" || in.Content.Simple.Subject.Data == "" {
		return Push{}, fmt.Errorf("BadRequestException: %s", body)
	}
	p := Push{Token: in.Destination.ToAddresses[0], Data: map[string]string{}}
	p.Title, p.Body, p.HTML = in.Content.Simple.Subject.Data, in.Content.Simple.Body.Text.Data, in.Content.Simple.Body.Html.Data
	for _, tag := range in.EmailTags {
		p.Data[tag.Name] = tag.Value
	}
	return p, nil
}
