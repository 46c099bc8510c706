package lambda

import (
	"net/http"
	"slices"
	"sort"
	"strconv"
)

func (h *Host) createFunction(r *http.Request) (int, any, error) {
	var in createFunctionInput
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if err := h.useLayers(&in.configuration, in.Layers); err != nil {
		return 0, nil, err
	}
	config, err := in.settings()
	if err != nil {
		return 0, nil, err
	}
	c, err := h.codes.add(in.Code.ZipFile)
	if err != nil {
		return 0, nil, err
	}
	out, err := h.register(in, config, c)
	if err != nil {
		h.codes.release(c)
		return 0, nil, err
	}
	return http.StatusCreated, out, nil
}

// settings checks a new function's parameters and fills in the defaults of the
// API reference, CreateFunction.
func (in createFunctionInput) settings() (configuration, error) {
	ref, err := parseReference(in.FunctionName, "")
	if err != nil {
		return configuration{}, err
	}
	if ref.qualifier != "" {
		return configuration{}, invalid("a new function's name cannot have a qualifier: %s", in.FunctionName)
	}
	if err := in.refused.check(); err != nil {
		return configuration{}, err
	}
	if err := in.Code.check(); err != nil {
		return configuration{}, err
	}
	switch {
	case in.PackageType != "" && in.PackageType != "Zip":
		return configuration{}, notImplemented("PackageType %s", in.PackageType)
	case in.CodeSigningConfigArn != "":
		return configuration{}, notImplemented("CodeSigningConfigArn")
	case in.Runtime == nil || in.Handler == nil:
		return configuration{}, invalid("Runtime and Handler are mandatory parameters for functions created with deployment packages.")
	}
	description, memory, timeout := "", defaultMemory, defaultTimeout
	defaults := configuration{Description: &description, MemorySize: &memory, Timeout: &timeout}
	return defaults.merge(in.configuration)
}

func (h *Host) register(in createFunctionInput, config configuration, c *code) (functionOutput, error) {
	ref, err := parseReference(in.FunctionName, "")
	if err != nil {
		return functionOutput{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.functions[ref.name]; known {
		return functionOutput{}, conflict("Function already exist: %s", ref.name)
	}
	if len(h.functions) >= maxFunctions {
		return functionOutput{}, &apiError{status: http.StatusBadRequest, code: "CodeStorageExceededException",
			message: "the sandbox holds at most 1000 functions"}
	}
	f := &function{
		name: ref.name, aliases: map[string]*alias{}, tags: in.Tags,
		log: &functionLog{name: ref.name, limit: h.cfg.LogSize, out: h.out},
	}
	archs := in.Architectures
	if len(archs) == 0 {
		archs = []string{"x86_64"}
	}
	f.latest = h.newRevision(f, latest, config, archs, c)
	h.functions[ref.name] = f
	if in.Publish {
		v := h.publish(f, nil)
		return h.describe(v, ""), nil
	}
	return h.describe(f.latest, ""), nil
}

func (h *Host) getFunction(r *http.Request) (int, any, error) {
	v, qualifier, unlock, err := h.lockRevision(r)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	out := getFunctionOutput{
		Configuration: h.describe(v, qualifier), Tags: v.function.tags,
		Code: map[string]string{"RepositoryType": "S3", "Location": "file://" + v.code.dir},
	}
	return http.StatusOK, out, nil
}

func (h *Host) getConfiguration(r *http.Request) (int, any, error) {
	v, qualifier, unlock, err := h.lockRevision(r)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	return http.StatusOK, h.describe(v, qualifier), nil
}

func (h *Host) listFunctions(r *http.Request) (int, any, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := r.URL.Query().Get("FunctionVersion") == "ALL"
	out := []functionOutput{}
	for _, f := range h.sorted() {
		if !all {
			out = append(out, h.describe(f.latest, ""))
			continue
		}
		for _, v := range append([]*revision{f.latest}, f.versions...) {
			out = append(out, h.describe(v, v.version))
		}
	}
	return page("Functions", out, r)
}

func (h *Host) sorted() []*function {
	out := make([]*function, 0, len(h.functions))
	for _, f := range h.functions {
		out = append(out, f)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}

// page answers with a part of a list, by Marker and MaxItems; the marker is an index.
func page[T any](name string, all []T, r *http.Request) (int, any, error) {
	from, size := 0, 50
	var err error
	q := r.URL.Query()
	if v := q.Get("Marker"); v != "" {
		if from, err = strconv.Atoi(v); err != nil || from < 0 || from > len(all) {
			return 0, nil, invalid("Invalid pagination token: %s", v)
		}
	}
	if v := q.Get("MaxItems"); v != "" {
		if size, err = strconv.Atoi(v); err != nil || size < 1 || size > 10000 {
			return 0, nil, outside("maxItems", size, 1, 10000)
		}
		size = min(size, 50) // "returns a maximum of 50 items in each response"
	}
	var next *string
	if from+size < len(all) {
		marker := strconv.Itoa(from + size)
		next = &marker
	}
	return http.StatusOK, map[string]any{name: all[from:min(from+size, len(all))], "NextMarker": next}, nil
}

// lockRevision returns what a request names, and how, with the host locked until
// unlock is called.
func (h *Host) lockRevision(r *http.Request) (v *revision, qualifier string, unlock func(), err error) {
	ref, err := target(r)
	if err != nil {
		return nil, "", nil, err
	}
	h.mu.Lock()
	if v, err = h.revision(ref); err != nil {
		h.mu.Unlock()
		return nil, "", nil, err
	}
	return v, ref.qualifier, h.mu.Unlock, nil
}

// changeable is the reference of an operation that only $LATEST allows.
func changeable(r *http.Request) (reference, error) {
	ref, err := target(r)
	if err == nil && ref.qualifier != "" && ref.qualifier != latest {
		err = invalid("This operation is permitted on Lambda functions only, not on versions or aliases: %s", ref.qualifier)
	}
	return ref, err
}

func (h *Host) updateConfiguration(r *http.Request) (int, any, error) {
	var in updateConfigurationInput
	f, unlock, err := h.lockFunction(r, &in)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	if err := in.refused.check(); err != nil {
		return 0, nil, err
	}
	if in.RevisionId != "" && in.RevisionId != f.latest.id {
		return 0, nil, staleRevision()
	}
	if in.layers, err = h.layersOf(in.Layers); err != nil {
		return 0, nil, err
	}
	config, err := f.latest.config.merge(in.configuration)
	if err != nil {
		return 0, nil, err
	}
	h.replace(f, h.newRevision(f, latest, config, f.latest.archs, h.codes.share(f.latest.code)))
	return http.StatusOK, h.describe(f.latest, ""), nil
}

func (h *Host) updateCode(r *http.Request) (int, any, error) {
	ref, err := changeable(r)
	if err != nil {
		return 0, nil, err
	}
	var in updateCodeInput
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	if err := in.check(); err != nil {
		return 0, nil, err
	}
	h.mu.Lock()
	_, err = h.function(ref)
	h.mu.Unlock()
	if err != nil {
		return 0, nil, err
	}
	c, err := h.codes.add(in.ZipFile)
	if err != nil {
		return 0, nil, err
	}
	out, used, err := h.deploy(ref, in, c)
	if !used {
		h.codes.release(c)
	}
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, out, nil
}

func (h *Host) deploy(ref reference, in updateCodeInput, c *code) (out functionOutput, used bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := h.function(ref)
	if err != nil {
		return out, false, err
	}
	if in.RevisionId != "" && in.RevisionId != f.latest.id {
		return out, false, staleRevision()
	}
	archs := in.Architectures
	if len(archs) == 0 {
		archs = f.latest.archs
	}
	next := h.newRevision(f, latest, f.latest.config, archs, c)
	h.replace(f, next)
	if in.Publish {
		return h.describe(h.publish(f, nil), ""), true, nil
	}
	return h.describe(f.latest, ""), true, nil
}

// replace puts a new revision in the place of $LATEST. Invocations under way
// end in the environments they have; mu is held.
func (h *Host) replace(f *function, next *revision) {
	old := f.latest
	f.latest = next
	h.drop(old)
}

// drop ends what a revision holds, in the background; mu is held. Once the host
// is closed there is nothing to do, as Close ends all pools.
func (h *Host) drop(r *revision) {
	if h.beginLocked() != nil {
		return
	}
	go func() {
		defer h.wg.Done()
		r.pool.retire()
		h.codes.release(r.code)
	}()
}

func (h *Host) deleteFunction(r *http.Request) (int, any, error) {
	ref, err := target(r)
	if err != nil {
		return 0, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := h.function(ref)
	if err != nil {
		return 0, nil, err
	}
	if ref.qualifier != "" {
		return http.StatusNoContent, nil, h.deleteVersion(f, ref)
	}
	delete(h.functions, f.name)
	for _, v := range append([]*revision{f.latest}, f.versions...) {
		h.drop(v)
	}
	return http.StatusNoContent, nil, nil
}

func (h *Host) deleteVersion(f *function, ref reference) error {
	if ref.qualifier == latest {
		return invalid("$LATEST version cannot be deleted without deleting the function.")
	}
	i := slices.IndexFunc(f.versions, func(v *revision) bool { return v.version == ref.qualifier })
	if i < 0 {
		return notFound("Function not found: %s", h.arn(ref.name, ref.qualifier))
	}
	for name, a := range f.aliases {
		if _, routed := a.weights[ref.qualifier]; routed || a.version == ref.qualifier {
			return conflict("Version %s is in use by alias %s", ref.qualifier, name)
		}
	}
	h.drop(f.versions[i])
	f.versions = slices.Delete(f.versions, i, i+1)
	return nil
}
