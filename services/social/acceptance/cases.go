package acceptance

import "github.com/banyan-fig/banyan/services/acceptance"

// run is one run of a case of the example's APIs.
type run struct{ acceptance.Run }

func cases(all map[string]func(run, acceptance.Target)) map[string]acceptance.Case {
	out := map[string]acceptance.Case{}
	for name, c := range all {
		out[name] = func(r acceptance.Run, api acceptance.Target) { c(run{r}, api) }
	}
	return out
}
