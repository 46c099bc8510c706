package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// configuration is the settings of a function as the API takes and shows them.
// Those kept as raw JSON are shown again and have no effect.
type configuration struct {
	Description      *string         `json:",omitempty"`
	Environment      *environmentVar `json:",omitempty"`
	Handler          *string         `json:",omitempty"`
	MemorySize       *int            `json:",omitempty"`
	Role             *string         `json:",omitempty"`
	Runtime          *string         `json:",omitempty"`
	Timeout          *int            `json:",omitempty"`
	EphemeralStorage json.RawMessage `json:",omitempty"`
	LoggingConfig    json.RawMessage `json:",omitempty"`
	SnapStart        json.RawMessage `json:",omitempty"`
	TracingConfig    json.RawMessage `json:",omitempty"`
	VpcConfig        json.RawMessage `json:",omitempty"`

	layers []usedLayer
}

type environmentVar struct {
	Variables map[string]string `json:",omitempty"`
}

// refused are settings that would change what a function does, and are only
// accepted empty.
type refused struct {
	DeadLetterConfig  *struct{ TargetArn string }
	FileSystemConfigs []json.RawMessage
	ImageConfig       json.RawMessage
	KMSKeyArn         string
}

func (r refused) check() error {
	switch {
	case r.DeadLetterConfig != nil && r.DeadLetterConfig.TargetArn != "":
		return notImplemented("DeadLetterConfig")
	case len(r.FileSystemConfigs) > 0:
		return notImplemented("FileSystemConfigs")
	case !trivial(r.ImageConfig):
		return notImplemented("ImageConfig")
	}
	return nil
}

type codeInput struct {
	ZipFile             []byte
	S3Bucket            string
	S3Key               string
	S3ObjectVersion     string
	S3ObjectStorageMode string
	ImageUri            string
	SourceKMSKeyArn     string
}

func (c codeInput) check() error {
	switch {
	case c.S3Bucket != "" || c.S3Key != "":
		return notImplemented("code in S3: upload it as ZipFile")
	case c.ImageUri != "":
		return notImplemented("container images: upload a ZipFile with an executable named bootstrap")
	}
	return nil
}

type createFunctionInput struct {
	configuration
	refused
	Architectures        []string
	Code                 codeInput
	CodeSigningConfigArn string
	FunctionName         string
	Layers               []string
	PackageType          string
	Publish              bool
	Tags                 map[string]string
}

type updateConfigurationInput struct {
	configuration
	refused
	Layers     []string
	RevisionId string
}

type updateCodeInput struct {
	codeInput
	Architectures []string
	Publish       bool
	RevisionId    string
}

type publishInput struct {
	CodeSha256  string
	Description *string
	RevisionId  string
}

// functionOutput is the API's FunctionConfiguration.
type functionOutput struct {
	configuration
	Architectures    []string
	CodeSha256       string
	CodeSize         int64
	FunctionArn      string
	FunctionName     string
	LastModified     string
	LastUpdateStatus string
	Layers           []usedLayer `json:",omitempty"`
	PackageType      string
	RevisionId       string
	State            string
	Version          string
}

type getFunctionOutput struct {
	Configuration functionOutput
	Code          map[string]string
	Tags          map[string]string `json:",omitempty"`
}

// decode reads a request. A member this host does not know is one it does not
// implement, and is refused rather than ignored.
func decode(r *http.Request, into any) error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxRequest))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return &apiError{
			status: http.StatusRequestEntityTooLarge, code: "RequestEntityTooLargeException",
			message: fmt.Sprintf("Request must be smaller than %d bytes for the operation", maxRequest),
		}
	}
	if err != nil {
		return invalid("reading the request: %v", err)
	}
	if len(body) == 0 {
		body = []byte("{}")
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(into)
	if err == nil {
		return nil
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return notImplemented("the parameter %s", strings.Trim(name, `"`))
	}
	return &apiError{
		status: http.StatusBadRequest, code: "InvalidRequestContentException",
		message: "Could not parse request body into json: " + err.Error(),
	}
}

// trivial says whether a raw value asks for nothing.
func trivial(raw json.RawMessage) bool {
	switch strings.TrimSpace(string(raw)) {
	case "", "null", "{}", "[]", `""`:
		return true
	}
	return false
}

func respond(w http.ResponseWriter, status int, body any) {
	if body == nil {
		w.WriteHeader(status)
		return
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		writeError(w, fmt.Errorf("encoding the response: %w", err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(encoded)
}
