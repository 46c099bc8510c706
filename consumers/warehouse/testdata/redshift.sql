CREATE TABLE "order_placed" (
  "event_position" VARCHAR(65535),
  "event_shard" VARCHAR(65535),
  "event_arrived" TIMESTAMP,
  "event_id" VARCHAR(65535),
  "event_source" VARCHAR(65535),
  "event_type" VARCHAR(65535),
  "event_version" BIGINT,
  "event_subject" VARCHAR(65535),
  "event_time" TIMESTAMP,
  "event_partition_key" VARCHAR(65535),
  "event_sequence" VARCHAR(65535),
  "event_trace_parent" VARCHAR(65535),
  "event_correlation_id" VARCHAR(65535),
  "event_causation_id" VARCHAR(65535),
  "event_rest" VARCHAR(65535),
  "cents" BIGINT,
  "order_id" VARCHAR(65535),
  "price" DOUBLE PRECISION
)
SORTKEY (event_arrived);

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

COPY "order_placed" FROM 's3://acme/rows/order_placed/dt=2026-11-30/'
IAM_ROLE 'arn:aws:iam::123456789012:role/o''load'
FORMAT AS JSON 'auto' GZIP TIMEFORMAT 'auto';
