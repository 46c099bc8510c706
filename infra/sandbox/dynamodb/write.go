package dynamodb

import (
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/attribute"
	"github.com/banyan-fig/banyan/infra/sandbox/dynamodb/expression"
)

// change is one write, checked as far as possible without the stored item: a put, update, delete
// or, with none of them, a mere condition check.
type change struct {
	request *request
	table   *table
	key     *entry
	put     *entry
	delete  bool
	bound   bound

	old     *entry // what was stored
	updated *entry // what shall be
}

// prepare checks a write request and binds its expressions.
func (s *Server) prepare(r *request) (*change, error) {
	t, err := s.table(r.table)
	if err != nil {
		return nil, err
	}
	c := &change{request: r, table: t}
	if c.bound, err = r.bind(); err != nil {
		return nil, err
	}
	switch r.operation {
	case "PutItem", "Put":
		if c.put, err = t.item(r.item); err != nil {
			return nil, err
		}
		c.key = c.put
		return c, nil
	case "DeleteItem", "Delete":
		c.delete = true
	}
	if c.key, err = t.key(r.key); err != nil {
		return nil, err
	}
	if c.bound.update != nil {
		if name := c.bound.update.Touches(t.keys.names()); name != "" {
			return nil, parameter("Cannot update attribute %s. This attribute is part of the key", name)
		}
	}
	return c, nil
}

// isUpdate reports whether the change creates or alters an item by an update expression, which may
// be absent: then it only makes sure that the item is there.
func (c *change) isUpdate() bool {
	return c.request.operation == "UpdateItem" || c.request.operation == "Update"
}

// decide looks at the stored item, tests the condition and works out the new item. The caller
// holds the table's lock.
func (c *change) decide() error {
	c.old = c.table.find(c.key)
	if !c.bound.condition.Match(c.oldItem()) {
		failed := &apiError{code: "ConditionalCheckFailedException", message: "The conditional request failed"}
		if c.request.returnOnFailed == "ALL_OLD" && c.old != nil {
			failed.item = c.old.item
		}
		return failed
	}
	switch {
	case c.put != nil:
		c.updated = c.put
		return c.table.indexKeys(c.put.item)
	case c.isUpdate():
		return c.applyUpdate()
	case !c.delete:
		c.updated = c.old
	}
	return nil
}

func (c *change) applyUpdate() error {
	item := c.oldItem()
	if c.old == nil {
		item = c.request.key
	}
	var err error
	if c.bound.update != nil {
		if item, err = c.bound.update.Apply(item); err != nil {
			return err
		}
	}
	if err := c.table.indexKeys(item); err != nil {
		return invalid("The update expression attempted to update the secondary index key to unsupported type or value: %s", asAPIError(err).message)
	}
	if c.updated, err = c.table.placed(item); err == nil && c.updated.size > maxItem {
		return invalid("Item size to update has exceeded the maximum allowed size")
	}
	if err == nil && tooDeep(item) {
		return invalid("Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit")
	}
	return err
}

func tooDeep(it attribute.Item) bool {
	for i := range it {
		if it[i].Value.Depth() > attribute.MaxNesting {
			return true
		}
	}
	return false
}

func (c *change) oldItem() attribute.Item {
	if c.old == nil {
		return nil
	}
	return c.old.item
}

// commit carries the decision out. The caller holds the table's lock for writing.
func (s *Server) commit(c *change, used *usage) {
	c.table.write(s.cfg.Now(), c.old, c.updated, byClient, used)
}

// runWrite is a write on its own.
func (s *Server) runWrite(r *request, out []byte, returns ...string) ([]byte, error) {
	if err := r.checkCommon(); err != nil {
		return out, err
	}
	c, err := s.prepare(r)
	if err != nil {
		return out, err
	}
	if err := checkReturnValues(r.returnValues, returns); err != nil {
		return out, err
	}
	used := &usage{}
	if err := s.apply(c, used); err != nil {
		return out, err
	}
	out = append(out, '{')
	if attributes := c.returned(); len(attributes) > 0 {
		out = append(attributes.AppendJSON(append(out, `"Attributes":`...)), ',')
	}
	if r.wantsCapacity() {
		out = append(used.appendJSON(append(out, `"ConsumedCapacity":`...), false), ',')
	}
	return endObject(out), nil
}

func (s *Server) apply(c *change, used *usage) error {
	t := c.table
	t.expire(s.cfg.Now())
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := c.decide(); err != nil {
		return err
	}
	s.commit(c, used)
	return nil
}

func checkReturnValues(value string, allowed []string) error {
	if value == "UPDATED_OLD" || value == "UPDATED_NEW" {
		return notImplemented("ReturnValues " + value)
	}
	err := oneOf("returnValues", value, "ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")
	if err == nil && oneOf("", value, allowed...) != nil {
		return invalid("Return values set to invalid value")
	}
	return err
}

// returned are the Attributes of the answer.
func (c *change) returned() attribute.Item {
	switch c.request.returnValues {
	case "ALL_OLD":
		return c.oldItem()
	case "ALL_NEW":
		return c.updated.item
	}
	return nil
}

// endObject replaces the comma after the last member by the closing brace.
func endObject(out []byte) []byte {
	if out[len(out)-1] == ',' {
		out = out[:len(out)-1]
	}
	return append(out, '}')
}

func (s *Server) putItem(r *request, out []byte) ([]byte, error) {
	return s.runWrite(r, out, "NONE", "ALL_OLD")
}

func (s *Server) deleteItem(r *request, out []byte) ([]byte, error) {
	return s.runWrite(r, out, "NONE", "ALL_OLD")
}

func (s *Server) updateItem(r *request, out []byte) ([]byte, error) {
	return s.runWrite(r, out, "NONE", "ALL_OLD", "ALL_NEW")
}

// get is one read by key.
type get struct {
	table      *table
	key        *entry
	projection *expression.Selection
	found      *entry
}

func (s *Server) prepareGet(r *request) (*get, error) {
	t, err := s.table(r.table)
	if err != nil {
		return nil, err
	}
	b, err := r.bind()
	if err != nil {
		return nil, err
	}
	key, err := t.key(r.key)
	return &get{table: t, key: key, projection: b.projection}, err
}

func (g *get) size() int {
	if g.found == nil {
		return 0
	}
	return g.found.size
}

func (s *Server) getItem(r *request, out []byte) ([]byte, error) {
	if err := r.checkCommon(); err != nil {
		return out, err
	}
	g, err := s.prepareGet(r)
	if err != nil {
		return out, err
	}
	t := g.table
	t.expire(s.cfg.Now())
	t.mu.RLock()
	g.found = t.find(g.key)
	t.mu.RUnlock()
	out = append(out, '{')
	if g.found != nil {
		out = append(g.projection.Apply(g.found.item).AppendJSON(append(out, `"Item":`...)), ',')
	}
	if r.wantsCapacity() {
		used := &usage{}
		used.read(t, readUnits(g.size(), r.consistent))
		out = append(used.appendJSON(append(out, `"ConsumedCapacity":`...), false), ',')
	}
	return endObject(out), nil
}
