package dynamodb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/google/uuid"
)

// controlOperations are the operations on tables and streams; requests are few, so they go through
// encoding/json.
var controlOperations = map[string]func(s *Server, body, out []byte) ([]byte, error){
	"CreateTable":      control((*Server).createTable),
	"DescribeTable":    control((*Server).describeTable),
	"DeleteTable":      control((*Server).deleteTable),
	"ListTables":       control((*Server).listTables),
	"UpdateTable":      control((*Server).updateTable),
	"UpdateTimeToLive": control((*Server).updateTimeToLive),
	"DescribeStream":   control((*Server).describeStream),
	"GetShardIterator": control((*Server).getShardIterator),
	"GetRecords":       (*Server).getRecords,
}

// control makes an operation of a function from its input to its output.
func control[In, Out any](run func(*Server, *In) (Out, error)) func(*Server, []byte, []byte) ([]byte, error) {
	return func(s *Server, body, out []byte) ([]byte, error) {
		var in In
		if err := decode(body, &in); err != nil {
			return out, err
		}
		answer, err := run(s, &in)
		if err != nil {
			return out, err
		}
		encoded, err := json.Marshal(answer)
		return append(out, encoded...), err
	}
}

func decode(body []byte, in any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if err == nil {
		return nil
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		return notImplemented("the parameter " + strings.Trim(name, `"`))
	}
	return fail("SerializationException", "the request could not be read: %v", err)
}

// tableOf is the table a control request names, or "".
func tableOf(body []byte) string {
	var in struct{ TableName string }
	_ = json.Unmarshal(body, &in) // the operation itself will complain
	return in.TableName
}

func (s *Server) createTable(in *createTableInput) (tableOutput, error) {
	t, err := s.newTable(in)
	if err != nil {
		return tableOutput{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.tables[t.name] != nil:
		return tableOutput{}, fail("ResourceInUseException", "Table already exists: %s", t.name)
	case len(s.tables) >= s.cfg.Tables:
		return tableOutput{}, fail("LimitExceededException", "Subscriber limit exceeded: There is a limit of %d tables per subscriber", s.cfg.Tables)
	}
	s.tables[t.name] = t
	if t.stream != nil {
		s.keepStream(t.stream)
	}
	description := t.describe("ACTIVE")
	return tableOutput{TableDescription: &description}, nil
}

func (s *Server) newTable(in *createTableInput) (*table, error) {
	if err := in.check(); err != nil {
		return nil, err
	}
	t := &table{
		name: in.TableName, id: uuid.NewString(), created: s.cfg.Now(), items: newTree(),
		arn: fmt.Sprintf("arn:aws:dynamodb:%s:%s:table/%s", s.cfg.Region, s.cfg.Account, in.TableName),
	}
	t.nextExpiry.Store(never)
	t.description = tableSettings{attributes: in.AttributeDefinitions, onDemand: in.BillingMode == "PAY_PER_REQUEST"}
	t.description.setThroughput(in.ProvisionedThroughput)
	t.keys = in.KeySchema.keys(in.AttributeDefinitions)
	for _, ix := range in.GlobalSecondaryIndexes {
		t.indexes = append(t.indexes, t.newIndex(ix, in.AttributeDefinitions))
	}
	if in.StreamSpecification.on() {
		t.stream = s.newStream(t, in.StreamSpecification.StreamViewType)
	}
	return t, nil
}

// newIndex makes an index and fills it from the table.
func (t *table) newIndex(in indexInput, attributes []attributeDefinition) *index {
	ix := &index{name: in.IndexName, keys: in.KeySchema.keys(attributes), items: newTree()}
	ix.projection, ix.nonKey = in.Projection.ProjectionType, in.Projection.NonKeyAttributes
	if ix.projection != "ALL" {
		ix.projected = slices.Concat(t.keys.names(), ix.keys.names(), ix.nonKey)
	}
	t.items.Ascend(func(e *entry) bool {
		ix.replace(nil, ix.entryOf(e))
		return true
	})
	return ix
}

func (s *Server) named(name string) (*table, error) {
	if err := checkTableName("tableName", name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, ok := s.tables[name]
	if !ok {
		return nil, noTableNamed(name)
	}
	return t, nil
}

type tableInput struct{ TableName string }

type tableOutput struct {
	TableDescription *tableDescription `json:",omitempty"`
	Table            *tableDescription `json:",omitempty"`
}

func (s *Server) describeTable(in *tableInput) (tableOutput, error) {
	t, err := s.named(in.TableName)
	if err != nil {
		return tableOutput{}, err
	}
	t.expire(s.cfg.Now())
	t.mu.RLock()
	defer t.mu.RUnlock()
	description := t.describe("ACTIVE")
	return tableOutput{Table: &description}, nil
}

func (s *Server) deleteTable(in *tableInput) (tableOutput, error) {
	t, err := s.named(in.TableName)
	if err != nil {
		return tableOutput{}, err
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tables, t.name)
	if t.stream != nil {
		t.stream.close()
	}
	description := t.describe("DELETING")
	return tableOutput{TableDescription: &description}, nil
}

type listTablesInput struct {
	ExclusiveStartTableName string
	Limit                   *int
}

type listTablesOutput struct {
	TableNames             []string
	LastEvaluatedTableName string `json:",omitempty"`
}

func (s *Server) listTables(in *listTablesInput) (listTablesOutput, error) {
	limit := 100
	if in.Limit != nil {
		if limit = *in.Limit; limit < 1 || limit > 100 {
			return listTablesOutput{}, invalid("1 validation error detected: Value '%d' at 'limit' failed to satisfy constraint: Member must "+
				"have value between 1 and 100", limit)
		}
	}
	s.mu.RLock()
	names := make([]string, 0, len(s.tables))
	for name := range s.tables {
		if name > in.ExclusiveStartTableName {
			names = append(names, name)
		}
	}
	s.mu.RUnlock()
	sort.Strings(names)
	out := listTablesOutput{TableNames: names}
	if len(names) > limit {
		out.TableNames, out.LastEvaluatedTableName = names[:limit], names[limit-1]
	}
	return out, nil
}

type updateTableInput struct {
	createTableInput
	GlobalSecondaryIndexUpdates []struct {
		Create *indexInput
		Update *struct{ IndexName string }
		Delete *struct{ IndexName string }
	}
}

func (in *updateTableInput) empty() bool {
	return in.StreamSpecification == nil && in.BillingMode == "" && in.ProvisionedThroughput == nil &&
		len(in.GlobalSecondaryIndexUpdates) == 0
}

func (s *Server) updateTable(in *updateTableInput) (tableOutput, error) {
	t, err := s.named(in.TableName)
	switch {
	case err != nil:
		return tableOutput{}, err
	case in.empty():
		return tableOutput{}, invalid("At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, GlobalSecondaryIndexUpdates " +
			"or SSESpecification or ReplicaUpdates is required")
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := s.updateIndexes(t, in); err != nil {
		return tableOutput{}, err
	}
	if err := s.updateStream(t, in.StreamSpecification); err != nil {
		return tableOutput{}, err
	}
	t.description.update(in)
	description := t.describe("ACTIVE")
	return tableOutput{TableDescription: &description}, nil
}

func (s *Server) updateStream(t *table, spec *streamSpecification) error {
	switch {
	case spec == nil:
		return nil
	case spec.on() && t.stream != nil:
		return invalid("Table already has an enabled stream: TableName: %s", t.name)
	case spec.on():
		if err := spec.check(); err != nil {
			return err
		}
		t.stream = s.newStream(t, spec.StreamViewType)
		s.mu.Lock()
		s.keepStream(t.stream)
		s.mu.Unlock()
	case t.stream == nil:
		return invalid("Table is already without a stream: TableName: %s", t.name)
	default:
		t.stream.close()
		t.stream = nil
	}
	return nil
}

func (s *Server) updateIndexes(t *table, in *updateTableInput) error {
	attributes := in.AttributeDefinitions
	for _, a := range t.description.attributes {
		if !slices.ContainsFunc(attributes, func(b attributeDefinition) bool { return a.AttributeName == b.AttributeName }) {
			attributes = append(attributes, a)
		}
	}
	for _, u := range in.GlobalSecondaryIndexUpdates {
		switch {
		case u.Delete != nil:
			if err := t.dropIndex(u.Delete.IndexName); err != nil {
				return err
			}
		case u.Create != nil:
			if err := t.addIndex(*u.Create, attributes); err != nil {
				return err
			}
		case u.Update != nil && t.indexNamed(u.Update.IndexName) == nil:
			return noTable()
		}
	}
	t.description.attributes = t.usedAttributes(attributes)
	return nil
}

func (t *table) dropIndex(name string) error {
	i := slices.IndexFunc(t.indexes, func(ix *index) bool { return ix.name == name })
	if i < 0 {
		return noTable()
	}
	t.indexes = slices.Delete(slices.Clone(t.indexes), i, i+1)
	return nil
}

func (t *table) addIndex(in indexInput, attributes []attributeDefinition) error {
	if t.indexNamed(in.IndexName) != nil {
		return invalid("Attempting to create an index which already exists")
	}
	if err := in.check(attributes); err != nil {
		return err
	}
	t.indexes = append(slices.Clone(t.indexes), t.newIndex(in, attributes))
	return nil
}

// usedAttributes are the definitions that the table and its indexes still have a use for.
func (t *table) usedAttributes(all []attributeDefinition) []attributeDefinition {
	var out []attributeDefinition
	for _, a := range all {
		used := slices.Contains(t.keys.names(), a.AttributeName)
		for _, ix := range t.indexes {
			used = used || slices.Contains(ix.keys.names(), a.AttributeName)
		}
		if used {
			out = append(out, a)
		}
	}
	return out
}

// epoch writes a time as the protocol does.
type epoch time.Time

func (e epoch) MarshalJSON() ([]byte, error) {
	ms := time.Time(e).UnixMilli()
	return fmt.Appendf(nil, "%d.%03d", ms/1000, ms%1000), nil
}

var _ http.Handler = (*Server)(nil)
