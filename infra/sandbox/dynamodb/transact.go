package dynamodb

import (
	"errors"
	"slices"
	"strings"
)

// The limits of a transaction, by the service's quotas.
const (
	maxTransactItems = 100
	maxTransactBytes = 4 << 20
)

func canceled(reasons []reason) error {
	codes := make([]string, len(reasons))
	for i := range reasons {
		if codes[i] = reasons[i].code; codes[i] == "" {
			codes[i] = "None"
		}
	}
	return &apiError{
		code:    "TransactionCanceledException",
		message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		reasons: reasons,
	}
}

func checkTransactSize(r *request) error {
	switch {
	case len(r.transact) == 0:
		return invalid("1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case len(r.transact) > maxTransactItems:
		return invalid("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to 100")
	}
	return nil
}

func (s *Server) transactWriteItems(r *request, out []byte) ([]byte, error) {
	if err := errors.Join(r.checkCommon(), checkTransactSize(r)); err != nil {
		return out, err
	}
	if len(r.token) > 36 {
		return out, invalid("1 validation error detected: Value '%s' at 'clientRequestToken' failed to satisfy constraint: Member must have "+
			"length less than or equal to 36", r.token)
	}
	changes, err := s.prepareTransaction(r)
	if err != nil {
		return out, err
	}
	var used usages
	run := func() error { return s.runTransaction(changes, &used) }
	repeated, err := s.tokens.once(r, run)
	if err != nil {
		return out, err
	}
	if repeated {
		used = repeatUsage(changes)
	}
	for _, u := range used {
		u.units *= 2 // transactions cost double
	}
	return endObject(used.appendField(append(out, '{'), r, true)), nil
}

// repeatUsage is what the repetition of a finished transaction costs: reads of its items.
func repeatUsage(changes []*change) usages {
	var used usages
	for _, c := range changes {
		size := 0
		if c.put != nil {
			size = c.put.size
		}
		used.of(c.table).read(c.table, readUnits(size, true))
	}
	return used
}

func (s *Server) prepareTransaction(r *request) ([]*change, error) {
	changes := make([]*change, len(r.transact))
	seen := map[identity]bool{}
	bytes := 0
	for i, one := range r.transact {
		if err := one.checkTransactItem(i); err != nil {
			return nil, err
		}
		c, err := s.prepare(one)
		if err != nil {
			return nil, err
		}
		id := identity{c.table.name, c.key.identity()}
		if seen[id] {
			return nil, invalid("Transaction request cannot include multiple operations on one item")
		}
		seen[id] = true
		if c.put != nil {
			bytes += c.put.size
		}
		changes[i] = c
	}
	if bytes > maxTransactBytes {
		return nil, tooLarge()
	}
	return changes, nil
}

func tooLarge() error {
	return invalid("Aggregated size of all items in the transaction has exceeded the maximum allowed size")
}

func (r *request) checkTransactItem(i int) error {
	missing := ""
	switch r.operation {
	case "Put":
		if r.item == nil {
			missing = "put.item"
		}
	case "Delete":
		if r.key == nil {
			missing = "delete.key"
		}
	case "Update":
		if r.update == nil {
			missing = "update.updateExpression"
		} else if r.key == nil {
			missing = "update.key"
		}
	case "ConditionCheck":
		if r.condition == nil {
			missing = "conditionCheck.conditionExpression"
		} else if r.key == nil {
			missing = "conditionCheck.key"
		}
	default:
		return invalid("TransactItems can only contain one of Check, Put, Update or Delete")
	}
	if missing != "" {
		return invalid("1 validation error detected: Value null at 'transactItems.%d.member.%s' failed to satisfy constraint: Member must not be null", i+1, missing)
	}
	return r.checkCommon()
}

// lockTables locks the tables for writing, in the order of their names, each once, and returns how
// to unlock.
func lockTables(tables []*table) func() {
	slices.SortFunc(tables, func(a, b *table) int { return strings.Compare(a.name, b.name) })
	tables = slices.Compact(tables)
	for _, t := range tables {
		t.mu.Lock()
	}
	return func() {
		for _, t := range tables {
			t.mu.Unlock()
		}
	}
}

// runTransaction decides all changes and carries them out, or none.
func (s *Server) runTransaction(changes []*change, used *usages) error {
	tables := make([]*table, len(changes))
	for i, c := range changes {
		tables[i] = c.table
		c.table.expire(s.cfg.Now())
	}
	defer lockTables(tables)()
	if err := decideAll(changes); err != nil {
		return err
	}
	for _, c := range changes {
		u := used.of(c.table)
		if c.request.operation == "ConditionCheck" {
			u.write(c.table, writeUnits(c.oldSize()))
			continue
		}
		s.commit(c, u)
	}
	return nil
}

func (c *change) oldSize() int {
	if c.old == nil {
		return 0
	}
	return c.old.size
}

func decideAll(changes []*change) error {
	reasons := make([]reason, len(changes))
	failed := false
	bytes := 0
	for i, c := range changes {
		if err := c.decide(); err != nil {
			reasons[i], failed = asReason(err), true
		}
		if c.updated != nil {
			bytes += c.updated.size
		}
	}
	if failed {
		return canceled(reasons)
	}
	if bytes > maxTransactBytes {
		return tooLarge()
	}
	return nil
}

func asReason(err error) reason {
	api := asAPIError(err)
	code := strings.TrimSuffix(api.code, "Exception")
	if code == "Validation" {
		code = "ValidationError"
	}
	return reason{code: code, message: api.message, item: api.item}
}
