package lambda

import "net/http"

// putConcurrency reserves concurrency for a function, which is then its limit
// too (developer guide, "Configuring reserved concurrency for a function").
func (h *Host) putConcurrency(r *http.Request) (int, any, error) {
	var in concurrencyOutput
	f, unlock, err := h.lockFunction(r, &in)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	if in.ReservedConcurrentExecutions == nil || *in.ReservedConcurrentExecutions < 0 {
		return 0, nil, invalid("ReservedConcurrentExecutions must be a number that is not negative")
	}
	wanted, had := *in.ReservedConcurrentExecutions, 0
	if f.reserved != nil {
		had = *f.reserved
	}
	if h.cfg.Concurrency-(h.reserved-had+wanted) < unreservedMinimum {
		return 0, nil, invalid("Specified ReservedConcurrentExecutions for function decreases account's "+
			"UnreservedConcurrentExecution below its minimum value of [%d].", unreservedMinimum)
	}
	h.reserved += wanted - had
	f.reserved = &wanted
	return http.StatusOK, concurrencyOutput{&wanted}, nil
}

func (h *Host) getConcurrency(r *http.Request) (int, any, error) {
	f, unlock, err := h.lockFunction(r, nil)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	return http.StatusOK, concurrencyOutput{f.reserved}, nil
}

func (h *Host) deleteConcurrency(r *http.Request) (int, any, error) {
	f, unlock, err := h.lockFunction(r, nil)
	if err != nil {
		return 0, nil, err
	}
	defer unlock()
	if f.reserved != nil {
		h.reserved -= *f.reserved
		f.reserved = nil
	}
	return http.StatusNoContent, nil, nil
}
