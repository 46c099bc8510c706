package lambda

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// layer is all versions of one layer. They are kept and described; their contents
// are not given to functions, so that a function with layers cannot be invoked.
type layer struct {
	name     string
	versions []*layerVersion // oldest first
	last     int64
}

type layerVersion struct {
	number      int64
	description string
	created     time.Time
	sha256      string
	size        int64
	statements  map[string]json.RawMessage // of the policy, by their ids
}

var layerName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,140}$`)

type layerContentInput struct {
	S3Bucket, S3Key, S3ObjectVersion string
	ZipFile                          []byte
}

type publishLayerInput struct {
	CompatibleArchitectures, CompatibleRuntimes []string
	Content                                     layerContentInput
	Description, LicenseInfo                    string
}

type layerVersionOutput struct {
	LayerArn        string `json:",omitempty"`
	LayerVersionArn string
	Version         int64
	Description     string
	CreatedDate     string
	Content         *layerContentOutput `json:",omitempty"`
}

type layerContentOutput struct {
	CodeSha256 string
	CodeSize   int64
}

func (h *Host) layerArn(name string) string {
	return "arn:aws:lambda:" + h.cfg.Region + ":" + h.cfg.Account + ":layer:" + name
}

func (h *Host) describeLayer(l *layer, v *layerVersion) layerVersionOutput {
	return layerVersionOutput{
		LayerVersionArn: h.layerArn(l.name) + ":" + strconv.FormatInt(v.number, 10), Version: v.number,
		Description: v.description, CreatedDate: v.created.UTC().Format("2006-01-02T15:04:05.000+0000"),
	}
}

func (h *Host) describeLayerInFull(l *layer, v *layerVersion) layerVersionOutput {
	out := h.describeLayer(l, v)
	out.LayerArn = h.layerArn(l.name)
	out.Content = &layerContentOutput{v.sha256, v.size}
	return out
}

func (h *Host) publishLayer(r *http.Request) (int, any, error) {
	name := r.PathValue("name")
	var in publishLayerInput
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	switch {
	case !layerName.MatchString(name):
		return 0, nil, violates("1 validation error detected: Value '%s' at 'layerName' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: %s", name, layerName)
	case in.Content.S3Bucket != "" || in.Content.S3Key != "":
		return 0, nil, notImplemented("layers in S3: upload them as ZipFile")
	case len(in.Content.ZipFile) == 0 || len(in.Content.ZipFile) > maxDirectUpload:
		return 0, nil, invalid("a layer's ZipFile must have from 1 to %d bytes", maxDirectUpload)
	}
	sum := sha256.Sum256(in.Content.ZipFile)
	h.mu.Lock()
	defer h.mu.Unlock()
	l := h.layers[name]
	if l == nil {
		l = &layer{name: name}
		h.layers[name] = l
	}
	l.last++
	v := &layerVersion{
		number: l.last, description: in.Description, created: time.Now(), size: int64(len(in.Content.ZipFile)),
		sha256: base64.StdEncoding.EncodeToString(sum[:]), statements: map[string]json.RawMessage{},
	}
	l.versions = append(l.versions, v)
	return http.StatusCreated, h.describeLayerInFull(l, v), nil
}

// listLayers lists layers that have a version, with their newest.
func (h *Host) listLayers(r *http.Request) (int, any, error) {
	type entry struct {
		LayerName, LayerArn   string
		LatestMatchingVersion layerVersionOutput
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []entry{}
	for _, name := range slices.Sorted(maps.Keys(h.layers)) {
		if l := h.layers[name]; len(l.versions) > 0 {
			out = append(out, entry{name, h.layerArn(name), h.describeLayer(l, l.versions[len(l.versions)-1])})
		}
	}
	return page("Layers", out, r)
}

// listLayerVersions lists the newest first, as Lambda does; nothing of a layer
// that is not there.
func (h *Host) listLayerVersions(r *http.Request) (int, any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []layerVersionOutput{}
	if l := h.layers[r.PathValue("name")]; l != nil {
		for _, v := range slices.Backward(l.versions) {
			out = append(out, h.describeLayer(l, v))
		}
	}
	return page("LayerVersions", out, r)
}

// layerVersion finds the version that a request's path names; mu is held.
func (h *Host) layerVersion(r *http.Request) (*layer, *layerVersion, error) {
	l := h.layers[r.PathValue("name")]
	number, err := strconv.ParseInt(r.PathValue("version"), 10, 64)
	if err != nil || number < 1 {
		return nil, nil, invalid("Invalid Layer Version %s", r.PathValue("version"))
	}
	if l != nil {
		for _, v := range l.versions {
			if v.number == number {
				return l, v, nil
			}
		}
	}
	return nil, nil, notFound("The resource you requested does not exist.")
}

func (h *Host) getLayerVersion(r *http.Request) (int, any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	l, v, err := h.layerVersion(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, h.describeLayerInFull(l, v), nil
}

// deleteLayerVersion succeeds also where there is none, as Lambda does. Numbers are
// not used again.
func (h *Host) deleteLayerVersion(r *http.Request) (int, any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if l, v, err := h.layerVersion(r); err == nil {
		l.versions = slices.DeleteFunc(l.versions, func(other *layerVersion) bool { return other == v })
	}
	return http.StatusNoContent, nil, nil
}

type layerPermissionInput struct {
	Action, OrganizationId, Principal, StatementId string
}

func (h *Host) addLayerPermission(r *http.Request) (int, any, error) {
	var in layerPermissionInput
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l, v, err := h.layerVersion(r)
	if err != nil {
		return 0, nil, err
	}
	if in.Action != "lambda:GetLayerVersion" || in.Principal == "" || in.StatementId == "" {
		return 0, nil, invalid("Action must be lambda:GetLayerVersion, and Principal and StatementId are mandatory")
	}
	if v.statements[in.StatementId] != nil {
		return 0, nil, conflict("The statement id (%s) provided already exists. Please provide a new statement id, or remove the existing statement.", in.StatementId)
	}
	statement, err := json.Marshal(map[string]any{
		"Sid": in.StatementId, "Effect": "Allow", "Principal": in.Principal, "Action": in.Action,
		"Resource": h.describeLayer(l, v).LayerVersionArn,
	})
	if err != nil {
		return 0, nil, err
	}
	v.statements[in.StatementId] = statement
	return http.StatusCreated, map[string]string{"Statement": string(statement), "RevisionId": uuid.NewString()}, nil
}

func (h *Host) getLayerPolicy(r *http.Request) (int, any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, v, err := h.layerVersion(r)
	if err != nil {
		return 0, nil, err
	}
	if len(v.statements) == 0 {
		return 0, nil, notFound("No policy is associated with the given resource.")
	}
	var statements []json.RawMessage
	for _, id := range slices.Sorted(maps.Keys(v.statements)) {
		statements = append(statements, v.statements[id])
	}
	policy, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Id": "default", "Statement": statements})
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, map[string]string{"Policy": string(policy), "RevisionId": uuid.NewString()}, nil
}

// usedLayer is a layer as a function's configuration shows it.
type usedLayer struct {
	Arn      string
	CodeSize int64
}

// layersOf resolves the layers that a function asks for; nil for nil. mu is held.
func (h *Host) layersOf(arns []string) ([]usedLayer, error) {
	if arns == nil {
		return nil, nil
	}
	if len(arns) > 5 {
		return nil, invalid("Cannot reference more than 5 layers.")
	}
	out := []usedLayer{}
	for _, arn := range arns {
		v := h.layerOf(arn)
		if v == nil {
			return nil, invalid("Layer version %s does not exist.", arn)
		}
		out = append(out, usedLayer{arn, v.size})
	}
	return out, nil
}

// useLayers resolves the layers of a new function.
func (h *Host) useLayers(c *configuration, arns []string) (err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.layers, err = h.layersOf(arns)
	return err
}

func (h *Host) layerOf(arn string) *layerVersion {
	rest, ok := strings.CutPrefix(arn, h.layerArn(""))
	name, number, _ := strings.Cut(rest, ":")
	if l := h.layers[name]; ok && l != nil {
		for _, v := range l.versions {
			if strconv.FormatInt(v.number, 10) == number {
				return v
			}
		}
	}
	return nil
}
