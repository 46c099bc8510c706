// Package warehouse writes every event as a row for a data warehouse: BigQuery, Athena,
// Redshift, or whatever reads newline JSON, such as DuckDB.
//
//	catalog, err := warehouse.ReadCatalogFile("asyncapi.json")
//	loader := &warehouse.Loader{Catalog: catalog, Store: bucket}
//	result, err := loader.LoadObject(ctx, archived, "events/day=2026-11-30/shard=shardId-000000000000/....ndjson.gz")
//
// Rows are made of the objects of an archive (package archive), by consumers/cmd/warehouse as
// they are written, or by banyan-consume warehouse load: so no second consumer reads the
// stream, and all rows can be made again whenever the schemas change.
//
// # Tables
//
// A [Catalog] is made of an AsyncAPI document (package schema writes one of a registry; a
// team without Go may write its own). Each event type is a table, whose name is the type's
// with underscores; all types that the catalog lacks, and bytes that are no event, are rows
// of the table "other". A column holds one member of the data, or is one of the envelope,
// which begin with "event_":
//
//	the schema of a member            column     in newline JSON
//	string                            text       text
//	string, format date-time          timestamp  2016-11-21 12:00:00.000000, in UTC
//	integer                           integer    a number; beyond 2^53 in quotes, as BigQuery asks
//	number                            float      a number
//	boolean                           boolean    true, false
//	anything else: object, list, map  JSON       its JSON as text, not changed
//
// Nothing of an event's data is lost but the difference between null and an absent member:
// what has no column, or does not fit into it without loss (an integer beyond 64 bits, a
// decimal with more digits than a float has, a nanosecond, an offset from UTC, a text with
// U+0000), is whole in event_rest, a JSON object; so is what a version has that the catalog
// does not know yet. A decimal is best published as a string.
//
// # Versions
//
// All versions of a type share its table. A later version only adds columns: where it gives
// a member another type, the member gets a second column with the version in its name, such
// as price_v2. So a table is altered by adding the columns that it lacks, and rows that were
// loaded before stay valid. Where two members would have the same column, userId and user_id
// say, the first by name has it, and the other is in event_rest.
//
// # Rows that are there twice
//
// The rows of a table and day from one batch are one object, whose name follows from the
// batch, so whatever is loaded again replaces what it wrote before. Batches that Lambda
// delivers again overlap, though, and a publisher whose answer was lost publishes an event at
// a second position: tables have rows twice. The view <table>_once, which is generated with
// the tables, has each event once, the first of its position. In BigQuery:
//
//	SELECT * FROM order_placed WHERE TRUE
//	QUALIFY ROW_NUMBER() OVER (PARTITION BY event_source, event_id ORDER BY event_position) = 1
//
// # Caveats
//
//   - Parquet is not written: its library makes the function 7.8 MB. Athena's
//     CREATE TABLE AS, or DuckDB's COPY, make Parquet of the tables.
//   - DuckDB loads the rows by these schemas (make conformance). BigQuery, Athena and Redshift
//     themselves were not met: what they take is from their documentation.
//   - Redshift's VARCHAR has 65,535 bytes: the COPY statement refuses rows with a longer text.
//   - What a person's erasure made unreadable in the archive is unreadable in rows made
//     later, but not in those that were made in plaintext: delete these.
package warehouse
