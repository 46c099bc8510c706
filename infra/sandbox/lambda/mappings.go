package lambda

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/banyan-fig/banyan/infra/sandbox/lambda/internal/filter"
)

// checkTime bounds the look at a source when a mapping for it is created.
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
	if wanted.settings.Visibility, err = h.checkSource(r.Context(), in.EventSourceArn); err != nil {
		return 0, nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	f, err := h.revision(ref)
	if err != nil {
		return 0, nil, err
	}
	if v := wanted.settings.Visibility; kind(in.EventSourceArn) == filter.SQS && v < f.timeout() {
		return 0, nil, invalid("Queue visibility timeout: %d seconds is less than Function timeout: %d seconds", v/time.Second, f.timeout()/time.Second)
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
			m.run(h.ctx)
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

// checkSource asks for the stream or queue, so that a wrong name is said at once.
// It returns the visibility timeout of a queue.
func (h *Host) checkSource(ctx context.Context, arn string) (visibility time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	what := "stream"
	if kind(arn) == filter.SQS {
		what = "queue"
		visibility, err = h.queue(arn).Visibility(ctx)
	} else {
		_, err = h.stream(arn, "").Shards(ctx)
	}
	if err != nil {
		err = invalid("Cannot access %s %s. Please ensure that it exists and that the sandbox's endpoints are right. (%v)", what, arn, err)
	}
	return visibility, err
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
