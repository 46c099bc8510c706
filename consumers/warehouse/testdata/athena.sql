CREATE EXTERNAL TABLE `order_placed` (
  `event_position` string,
  `event_shard` string,
  `event_arrived` timestamp,
  `event_id` string,
  `event_source` string,
  `event_type` string,
  `event_version` bigint,
  `event_subject` string,
  `event_time` timestamp,
  `event_partition_key` string,
  `event_sequence` string,
  `event_trace_parent` string,
  `event_correlation_id` string,
  `event_causation_id` string,
  `event_rest` string,
  `cents` bigint,
  `order_id` string,
  `price` double
)
PARTITIONED BY (dt string)
ROW FORMAT SERDE 'org.apache.hive.hcatalog.data.JsonSerDe'
LOCATION 's3://acme/rows/order_placed/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.dt.type' = 'date',
  'projection.dt.format' = 'yyyy-MM-dd',
  'projection.dt.range' = '2026-11-30,NOW'
);

CREATE VIEW "order_placed_once" AS SELECT
  "event_position",
  "event_shard",
  "event_arrived",
  "event_id",
  "event_source",
  "event_type",
  "event_version",
  "event_subject",
  "event_time",
  "event_partition_key",
  "event_sequence",
  "event_trace_parent",
  "event_correlation_id",
  "event_causation_id",
  "event_rest",
  "cents",
  "order_id",
  "price"
FROM (
  SELECT *, row_number() OVER (PARTITION BY event_source, event_id, CASE WHEN event_id IS NULL THEN event_position END ORDER BY event_position) AS nth
  FROM "order_placed"
) AS numbered
WHERE nth = 1;
