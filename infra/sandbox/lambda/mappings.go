package lambda

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

// checkTime bounds the look at a stream when a mapping for it is created.
const checkTime = 5 * time.Second

func (h *Host) createMapping(r *http.Request) (int, any, error) {
	var in mappingInput
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	ref, err := parseReference(in.FunctionName, "")
	if err != nil {
		return 0, nil, err
	}
	wanted, err := in.create()
	if err != nil {
		return 0, nil, err
	}
	if err := h.checkStream(r.Context(), in.EventSourceArn); err != nil {
		return 0, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := h.revision(ref)
	if err != nil {
		return 0, nil, err
	}
	if err := h.checkUnique(ref, in.EventSourceArn); err != nil {
		return 0, nil, err
	}
	wanted.ref = ref
	m := h.newMapping(uuid.NewString(), in.EventSourceArn, *f.config.Role, wanted)
	if err := h.beginLocked(); err != nil {
		return 0, nil, unavailable(err.Error())
	}
	h.mappings[m.uuid] = m
	go func() {
		defer h.wg.Done()
		if wanted.enabled {
			m.reader.Run(h.ctx, wanted.settings)
		}
	}()
	return http.StatusAccepted, m.describe(), nil
}

func (h *Host) checkUnique(ref reference, source string) error {
	if len(h.mappings) >= maxMappings {
		return invalid("the sandbox holds at most %d event source mappings", maxMappings)
	}
	for _, m := range h.mappings {
		if m.source == source && m.wanted.ref == ref {
			return conflict("The event source arn (\" %s \") and function (\" %s \") provided mapping already exists. "+
				"Please update or delete the existing mapping with UUID %s", source, ref.name, m.uuid)
		}
	}
	return nil
}

// checkStream asks for the stream, so that a wrong name is said at once.
func (h *Host) checkStream(ctx context.Context, arn string) error {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if _, err := h.stream(arn, "").Shards(ctx); err != nil {
		return invalid("Cannot access stream %s. Please ensure that it exists and that the sandbox's endpoints are right. (%v)", arn, err)
	}
	return nil
}

func (h *Host) listMappings(r *http.Request) (int, any, error) {
	source := r.URL.Query().Get("EventSourceArn")
	var of *reference
	if name := r.URL.Query().Get("FunctionName"); name != "" {
		ref, err := parseReference(name, "")
		if err != nil {
			return 0, nil, err
		}
		of = &ref
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	out := []mappingOutput{}
	for _, id := range slices.Sorted(maps.Keys(h.mappings)) {
		m := h.mappings[id]
		if (source == "" || m.source == source) && (of == nil || m.wanted.ref == *of) {
			out = append(out, m.describe())
		}
	}
	return page("EventSourceMappings", out, r)
}
