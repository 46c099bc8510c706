package dynamodb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// controlOperations are the operations on tables and streams; requests are few, so they go through
// encoding/json.
var controlOperations = map[string]func(s *Server, body, out []byte) ([]byte, error){
	"CreateTable":        control((*Server).createTable),
	"DescribeTable":      control((*Server).describeTable),
	"UpdateTable":        control((*Server).updateTable),
	"DeleteTable":        control((*Server).deleteTable),
	"ListTables":         control((*Server).listTables),
	"UpdateTimeToLive":   control((*Server).updateTimeToLive),
	"DescribeTimeToLive": control((*Server).describeTimeToLive),
	"DescribeStream":     control((*Server).describeStream),
	"GetShardIterator":   control((*Server).getShardIterator),
	"GetRecords":         (*Server).getRecords,
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

// newIndex makes the empty index of a new table.
func (t *table) newIndex(in indexInput, attributes []attributeDefinition) *index {
	ix := &index{name: in.IndexName, keys: in.KeySchema.keys(attributes), items: newTree()}
	ix.projection, ix.nonKey = in.Projection.ProjectionType, in.Projection.NonKeyAttributes
	if ix.projection != "ALL" {
		ix.projected = slices.Concat(t.keys.names(), ix.keys.names(), ix.nonKey)
	}
	return ix
}

// named finds a table for an operation on tables.
func (s *Server) named(name string) (*table, error) { return s.find(name, noTableNamed(name)) }

// table finds a table for an operation on items.
func (s *Server) table(name string) (*table, error) { return s.find(name, noTable()) }

func (s *Server) find(name string, missing error) (*table, error) {
	if err := checkTableName("tableName", name); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, ok := s.tables[name]
	if !ok {
		return nil, missing
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

type updateTableInput struct {
	TableName           string
	StreamSpecification *streamSpecification
}

// updateTable turns a table's stream on or off.
func (s *Server) updateTable(in *updateTableInput) (tableOutput, error) {
	t, err := s.named(in.TableName)
	if err == nil {
		err = in.StreamSpecification.check()
	}
	if err != nil {
		return tableOutput{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case in.StreamSpecification == nil:
		return tableOutput{}, notImplemented("an update of anything but the stream")
	case in.StreamSpecification.on() == (t.stream != nil):
		return tableOutput{}, invalid("Table already has its stream turned on or off: %s", t.name)
	case t.stream != nil:
		t.stream.close()
		t.stream = nil
	default:
		t.stream = s.newStream(t, in.StreamSpecification.StreamViewType)
		s.mu.Lock()
		s.keepStream(t.stream)
		s.mu.Unlock()
	}
	description := t.describe("ACTIVE")
	return tableOutput{TableDescription: &description}, nil
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

type listTablesOutput struct{ TableNames []string }

// listTables gives one page, which is all that is asked for.
func (s *Server) listTables(*struct{}) (listTablesOutput, error) {
	s.mu.RLock()
	names := slices.AppendSeq([]string{}, maps.Keys(s.tables))
	s.mu.RUnlock()
	if len(names) > 100 {
		return listTablesOutput{}, notImplemented("a second page of tables")
	}
	slices.Sort(names)
	return listTablesOutput{names}, nil
}

// epoch writes a time as the protocol does.
type epoch time.Time

func (e epoch) MarshalJSON() ([]byte, error) {
	ms := time.Time(e).UnixMilli()
	return fmt.Appendf(nil, "%d.%03d", ms/1000, ms%1000), nil
}

var _ http.Handler = (*Server)(nil)
