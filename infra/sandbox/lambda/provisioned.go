package lambda

import (
	"maps"
	"net/http"
	"slices"
)

type provisionedInput struct {
	ProvisionedConcurrentExecutions int
}

type provisionedOutput struct {
	FunctionArn                              string `json:",omitempty"`
	AllocatedProvisionedConcurrentExecutions int
	AvailableProvisionedConcurrentExecutions int
	RequestedProvisionedConcurrentExecutions int
	Status                                   string
}

func describeProvisioned(arn string, n int) provisionedOutput {
	return provisionedOutput{arn, n, n, n, "READY"}
}

// putProvisioned notes provisioned concurrency; nothing is started for it.
func (h *Host) putProvisioned(r *http.Request) (int, any, error) {
	var in provisionedInput
	if err := decode(r, &in); err != nil {
		return 0, nil, err
	}
	v, qualifier, unlock, err := h.lockRevision(r)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	if qualifier == latest || qualifier == "" {
		return 0, nil, invalid("Provisioned Concurrency Configs cannot be applied to unpublished function versions.")
	}
	if in.ProvisionedConcurrentExecutions < 1 {
		return 0, nil, outside("provisionedConcurrentExecutions", in.ProvisionedConcurrentExecutions, 1, h.cfg.Concurrency)
	}
	f := v.function
	if f.provisioned == nil {
		f.provisioned = map[string]int{}
	}
	f.provisioned[qualifier] = in.ProvisionedConcurrentExecutions
	return http.StatusAccepted, describeProvisioned("", in.ProvisionedConcurrentExecutions), nil
}

func (h *Host) listProvisioned(r *http.Request) (int, any, error) {
	if r.URL.Query().Get("List") != "ALL" {
		return 0, nil, notImplemented("GetProvisionedConcurrencyConfig")
	}
	f, unlock, err := h.lockFunction(r, nil)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	out := []provisionedOutput{}
	for _, qualifier := range slices.Sorted(maps.Keys(f.provisioned)) {
		out = append(out, describeProvisioned(h.arn(f.name, qualifier), f.provisioned[qualifier]))
	}
	return page("ProvisionedConcurrencyConfigs", out, r)
}
