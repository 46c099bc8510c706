package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	awsevents "github.com/aws/aws-lambda-go/events"
)

// answer is a function's.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// parseAnswer reads it in payload format version 2.0: what has no statusCode is a
// body by itself.
func parseAnswer(payload []byte) (*answer, error) {
	var form struct {
		StatusCode *int `json:"statusCode"`
	}
	if !json.Valid(payload) {
		return nil, fmt.Errorf("it is no JSON: %.100s", payload)
	}
	if err := json.Unmarshal(payload, &form); err != nil || form.StatusCode == nil {
		return inferred(payload, err)
	}
	var in awsevents.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(payload, &in); err != nil {
		return nil, err
	}
	if in.StatusCode < http.StatusOK || in.StatusCode > 599 {
		return nil, fmt.Errorf("its statusCode is %d", in.StatusCode)
	}
	a := &answer{status: in.StatusCode, header: http.Header{}, body: []byte(in.Body)}
	for name, value := range in.Headers {
		a.header.Add(name, value)
	}
	a.header = endToEnd(a.header)
	a.header.Del("Content-Length") // the body has one
	for _, cookie := range in.Cookies {
		a.header.Add("Set-Cookie", cookie)
	}
	if in.IsBase64Encoded {
		var err error
		if a.body, err = base64.StdEncoding.DecodeString(in.Body); err != nil {
			return nil, fmt.Errorf("its body is not the base64 that it claims to be: %w", err)
		}
	}
	if a.header.Get("Content-Type") == "" && len(a.body) > 0 {
		a.header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	return a, nil
}

// inferred is the answer of a function that returns its body alone. A statusCode
// that is no number is a mistake.
func inferred(payload []byte, err error) (*answer, error) {
	var object map[string]json.RawMessage
	if json.Unmarshal(payload, &object) == nil && object["statusCode"] != nil {
		return nil, fmt.Errorf("its statusCode is %s: %w", object["statusCode"], err)
	}
	var text string
	if json.Unmarshal(payload, &text) == nil {
		payload = []byte(text)
	}
	return &answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: payload}, nil
}

func (a *answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client went away, or the status has no body
}
