package lambda

import (
	"net/http"
	"reflect"
	"strconv"
)

func (h *Host) publishVersion(r *http.Request) (int, any, error) {
	var in publishInput
	f, unlock, err := h.lockFunction(r, &in)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	if in.RevisionId != "" && in.RevisionId != f.latest.id {
		return 0, nil, staleRevision()
	}
	if in.CodeSha256 != "" && in.CodeSha256 != f.latest.code.sha256 {
		return 0, nil, invalid("CodeSHA256 (%s) is different from current CodeSHA256 in $LATEST (%s). "+
			"Please try again with the CodeSHA256 in $LATEST.", in.CodeSha256, f.latest.code.sha256)
	}
	v := h.publish(f, in.Description)
	return http.StatusCreated, h.describe(v, v.version), nil
}

// publish makes a version of $LATEST, unless nothing has changed since the last
// one (API reference, PublishVersion); mu is held.
func (h *Host) publish(f *function, description *string) *revision {
	if n := len(f.versions); n > 0 {
		last := f.versions[n-1]
		if last.code == f.latest.code && sameSettings(last.config, f.latest.config) {
			return last
		}
	}
	config := f.latest.config
	set(&config.Description, description)
	f.lastVersion++
	v := h.newRevision(f, strconv.Itoa(f.lastVersion), config, f.latest.archs, h.codes.share(f.latest.code))
	f.versions = append(f.versions, v)
	return v
}

// sameSettings leaves the description out, which a version may have of its own.
func sameSettings(a, b configuration) bool {
	a.Description, b.Description = nil, nil
	return reflect.DeepEqual(a, b)
}

func (h *Host) listVersions(r *http.Request) (int, any, error) {
	f, unlock, err := h.lockFunction(r, nil)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	var out []functionOutput
	for _, v := range append([]*revision{f.latest}, f.versions...) {
		out = append(out, h.describe(v, v.version))
	}
	return page("Versions", out, r)
}
