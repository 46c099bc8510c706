package warehouse

import (
	"encoding/json"
	"fmt"
	"strings"
)

// types are the names of the types of columns.
var types = map[Type]struct{ bigQuery, athena, redshift string }{
	Text:      {"STRING", "string", "VARCHAR(65535)"},
	Integer:   {"INTEGER", "bigint", "BIGINT"},
	Float:     {"FLOAT", "double", "DOUBLE PRECISION"},
	Boolean:   {"BOOLEAN", "boolean", "BOOLEAN"},
	Timestamp: {"TIMESTAMP", "timestamp", "TIMESTAMP"},
	JSON:      {"STRING", "string", "VARCHAR(65535)"},
}

// BigQuery returns the schema of the table in the form of `bq load`, whose sources have the
// partition dt in their names: --hive_partitioning_mode=AUTO.
func (t *Table) BigQuery() ([]byte, error) {
	type field struct {
		Name        string `json:"name"`
		Type        string `json:"type"`
		Mode        string `json:"mode"`
		Description string `json:"description,omitempty"`
	}
	fields := make([]field, len(t.Columns))
	for i, c := range t.Columns {
		fields[i] = field{c.Name, types[c.Type].bigQuery, "NULLABLE", c.description()}
	}
	out, err := json.MarshalIndent(fields, "", "  ")
	return append(out, '\n'), err
}

func (c Column) description() string {
	switch {
	case c.Member != "":
		return fmt.Sprintf("member %q, since version %d", c.Member, c.Version)
	case c.Name == columnRest:
		return "JSON: what of the data has no column, or does not fit into it"
	}
	return ""
}

// Athena returns the statements that create the table, over the objects at address, such as
// s3://bucket/prefix, and its view. No partition needs to be added: they are found by their
// names, from firstDay on, such as 2026-11-30.
func (t *Table) Athena(address, firstDay string) string {
	return fmt.Sprintf(`CREATE EXTERNAL TABLE %s (
%s
)
PARTITIONED BY (dt string)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
LOCATION '%s/%s/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '%s,NOW'
);

%s`, quoteIn('`', t.Name), t.list(func(c Column) string { return quoteIn('`', c.Name) + " " + types[c.Type].athena }),
		quoteText(address), t.Name, quoteText(firstDay), t.view())
}

// Redshift returns the statements that create the table and its view, and load a day of it
// from the objects at address with an IAM role. A day that is loaded again must be deleted
// before, or stays in the table twice, which the view does not show.
func (t *Table) Redshift(address, role, day string) string {
	return fmt.Sprintf(`CREATE TABLE %s (
%s
)
SORTKEY (event_arrived);

%s
COPY %s FROM '%s/%s/dt=%s/'
IAM_ROLE '%s'
FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto';
`, quoteIn('"', t.Name), t.list(func(c Column) string { return quoteIn('"', c.Name) + " " + types[c.Type].redshift }), t.view(),
		quoteIn('"', t.Name), quoteText(address), t.Name, quoteText(day), quoteText(role))
}

// view has each event once.
func (t *Table) view() string {
	return fmt.Sprintf(`CREATE VIEW %s AS SELECT
%s
FROM (
  SELECT *, row_number() OVER (PARTITION BY event_source, event_id, CASE WHEN event_id IS NULL THEN event_position END ORDER BY event_position) AS nth
  FROM %s
) AS numbered
WHERE nth = 1;
`, quoteIn('"', t.Name+"_once"), t.list(func(c Column) string { return quoteIn('"', c.Name) }), quoteIn('"', t.Name))
}

func (t *Table) list(write func(Column) string) string {
	lines := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		lines[i] = "  " + write(c)
	}
	return strings.Join(lines, ",\n")
}

// quoteIn quotes a name: those of tables and columns have letters, digits and underscores.
func quoteIn(quote byte, name string) string { return string(quote) + name + string(quote) }

// quoteText is the inside of a text in single quotes; an address may end in a slash.
func quoteText(s string) string { return strings.ReplaceAll(strings.TrimRight(s, "/"), "'", "''") }
