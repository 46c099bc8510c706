package lambda

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/fault"
)

// routing lists the operations there are. The dates in the paths are those of
// the API reference.
func (h *Host) routing() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, op := range map[string]operation{
		"POST /2015-03-31/functions":                               {"CreateFunction", h.createFunction},
		"GET /2015-03-31/functions":                                {"ListFunctions", h.listFunctions},
		"GET /2015-03-31/functions/{name}":                         {"GetFunction", h.getFunction},
		"DELETE /2015-03-31/functions/{name}":                      {"DeleteFunction", h.deleteFunction},
		"GET /2015-03-31/functions/{name}/configuration":           {"GetFunctionConfiguration", h.getConfiguration},
		"PUT /2015-03-31/functions/{name}/configuration":           {"UpdateFunctionConfiguration", h.updateConfiguration},
		"PUT /2015-03-31/functions/{name}/code":                    {"UpdateFunctionCode", h.updateCode},
		"GET /2015-03-31/functions/{name}/versions":                {"ListVersionsByFunction", h.listVersions},
		"POST /2015-03-31/functions/{name}/versions":               {"PublishVersion", h.publishVersion},
		"GET /2015-03-31/functions/{name}/aliases":                 {"ListAliases", h.listAliases},
		"POST /2015-03-31/functions/{name}/aliases":                {"CreateAlias", h.createAlias},
		"GET /2015-03-31/functions/{name}/aliases/{alias}":         {"GetAlias", h.getAlias},
		"PUT /2015-03-31/functions/{name}/aliases/{alias}":         {"UpdateAlias", h.updateAlias},
		"DELETE /2015-03-31/functions/{name}/aliases/{alias}":      {"DeleteAlias", h.deleteAlias},
		"POST /2015-03-31/event-source-mappings":                   {"CreateEventSourceMapping", h.createMapping},
		"GET /2015-03-31/event-source-mappings":                    {"ListEventSourceMappings", h.listMappings},
		"GET /2018-10-31/layers":                                   {"ListLayers", h.listLayers},
		"GET /2018-10-31/layers/{name}/versions":                   {"ListLayerVersions", h.listLayerVersions},
		"POST /2018-10-31/layers/{name}/versions":                  {"PublishLayerVersion", h.publishLayer},
		"GET /2018-10-31/layers/{name}/versions/{version}":         {"GetLayerVersion", h.getLayerVersion},
		"DELETE /2018-10-31/layers/{name}/versions/{version}":      {"DeleteLayerVersion", h.deleteLayerVersion},
		"POST /2018-10-31/layers/{name}/versions/{version}/policy": {"AddLayerVersionPermission", h.addLayerPermission},
		"GET /2018-10-31/layers/{name}/versions/{version}/policy":  {"GetLayerVersionPolicy", h.getLayerPolicy},
		"PUT /2019-09-30/functions/{name}/provisioned-concurrency": {"PutProvisionedConcurrencyConfig", h.putProvisioned},
		"PUT /2019-09-25/functions/{name}/event-invoke-config":     {"PutFunctionEventInvokeConfig", h.putEvents},
		"GET /2019-09-30/functions/{name}/provisioned-concurrency": {"ListProvisionedConcurrencyConfigs", h.listProvisioned},
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, op) })
	}
	mux.HandleFunc("POST /2015-03-31/functions/{name}/invocations", h.serveInvoke)
	return mux
}

// operation is one of the API, by the name that it has there.
type operation struct {
	name string
	run  func(*http.Request) (status int, body any, err error)
}

func (h *Host) serve(w http.ResponseWriter, r *http.Request, op operation) {
	f := fault.Fault{}
	if h.cfg.APIFault != nil {
		f = h.cfg.APIFault(op.name, r.PathValue("name"))
	}
	err := h.before(r.Context(), f)
	if f.Kind == fault.TimeoutBefore {
		panic(http.ErrAbortHandler) // closes the connection without an answer
	}
	var status int
	var body any
	if err == nil {
		status, body, err = op.run(r)
	}
	switch {
	case f.Kind == fault.TimeoutAfter:
		panic(http.ErrAbortHandler)
	case err != nil:
		writeError(w, err)
	default:
		respond(w, status, body)
	}
}

// Handles says whether a request's path is one of Lambda's, for whoever serves
// several services at one address: all of them begin with a date.
func Handles(path string) bool {
	if len(path) < len("/2015-03-31/x") || path[0] != '/' || path[11] != '/' || path[5] != '-' || path[8] != '-' {
		return false
	}
	rest, _, _ := strings.Cut(path[len("/2015-03-31/"):], "/")
	switch rest {
	case "functions", "event-source-mappings", "layers", "tags", "account-settings", "code-signing-configs",
		"capacity-providers", "durable-executions", "durable-execution-callbacks", "resource-policy":
		return true
	}
	return false
}

// ServeHTTP serves Lambda's API, which is REST and JSON. Signatures are not
// checked.
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h.begin(); err != nil {
		writeError(w, unavailable(err.Error()))
		return
	}
	defer h.wg.Done()
	w.Header().Set("X-Amzn-Requestid", uuid.NewString())
	if path := strings.TrimRight(r.URL.Path, "/"); path != r.URL.Path {
		r.URL.Path, r.URL.RawPath = path, strings.TrimRight(r.URL.RawPath, "/")
	}
	if _, pattern := h.routes.Handler(r); pattern == "" {
		writeError(w, unknownOperation(r.Method, r.URL.Path))
		return
	}
	h.routes.ServeHTTP(w, r)
}

// target reads which function a request is about.
func target(r *http.Request) (reference, error) {
	return parseReference(r.PathValue("name"), r.URL.Query().Get("Qualifier"))
}

// serveInvoke is the operation Invoke.
func (h *Host) serveInvoke(w http.ResponseWriter, r *http.Request) {
	c, err := readCall(r)
	if err != nil {
		writeError(w, err)
		return
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		h.respondSync(w, r, c)
	case "Event":
		h.respondAsync(w, c)
	default:
		writeError(w, notImplemented("the invocation type %s", kind))
	}
}

func (h *Host) respondSync(w http.ResponseWriter, r *http.Request, c call) {
	a, err := h.invoke(r.Context(), c)
	if err != nil {
		writeError(w, err)
		return
	}
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Content-Length", strconv.Itoa(len(a.Payload)))
	head.Set("X-Amzn-Requestid", a.requestID)
	head.Set("X-Amz-Executed-Version", a.version)
	if a.FunctionError != "" {
		head.Set("X-Amz-Function-Error", a.FunctionError)
	}
	if r.Header.Get("X-Amz-Log-Type") == "Tail" {
		head.Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString(a.LogTail))
	}
	_, _ = w.Write(a.Payload)
}

func (h *Host) respondAsync(w http.ResponseWriter, c call) {
	_, _, err := h.resolve(c.ref)
	if err == nil && len(c.payload) > maxAsynchronous {
		err = tooLarge(maxAsynchronous)
	}
	if err == nil {
		err = h.enqueue(c)
	}
	if err != nil {
		writeError(w, err)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// readCall reads an invocation and holds it against the limits of "Lambda
// quotas".
func readCall(r *http.Request) (call, error) {
	ref, err := target(r)
	if err != nil {
		return call{}, err
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxSynchronous))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return call{}, tooLarge(maxSynchronous)
	case err != nil:
		return call{}, invalid("reading the payload: %v", err)
	case len(body) > 0 && !json.Valid(body):
		return call{}, &apiError{
			status: http.StatusBadRequest, code: "InvalidRequestContentException",
			message: "Could not parse request body into json: the payload is not valid JSON",
		}
	}
	c := call{ref: ref, payload: body, traceID: r.Header.Get("X-Amzn-Trace-Id")}
	if r.Header.Get("X-Amz-Client-Context") != "" {
		return call{}, notImplemented("the client context of an invocation")
	}
	return c, nil
}
