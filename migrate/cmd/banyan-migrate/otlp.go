package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"

	"github.com/banyan-fig/banyan/infra/backoff"
	"github.com/banyan-fig/banyan/infra/serving"
)

// otlp pushes figures to a collector of OpenTelemetry, by HTTP with protobuf, as the variables of
// its specification say. The SDK would link gRPC for it, which is as large as the program.
type otlp struct {
	Endpoint string `help:"Push figures to this collector of OpenTelemetry, by HTTP with protobuf." env:"OTEL_EXPORTER_OTLP_ENDPOINT" placeholder:"URL"`
	Headers  string `help:"Headers for it, as name=value,name=value, values percent-encoded." env:"OTEL_EXPORTER_OTLP_HEADERS" placeholder:"LIST"`
	Interval int    `help:"How often, in milliseconds." env:"OTEL_METRIC_EXPORT_INTERVAL" default:"60000" placeholder:"MS"`
}

// otlpTimeout bounds a request to the collector.
const otlpTimeout = 10 * time.Second

// enabled reports whether figures are to be pushed.
func (o otlp) enabled() bool {
	return o.Endpoint != "" && os.Getenv("OTEL_SDK_DISABLED") != "true" && os.Getenv("OTEL_METRICS_EXPORTER") != "none"
}

func (o otlp) validate() error {
	if !o.enabled() {
		return nil
	}
	if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("invalid OTEL_EXPORTER_OTLP_ENDPOINT %q: it must look like http://localhost:4318", o.Endpoint)
	}
	if p := os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL"); p != "" && p != "http/protobuf" {
		return fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q is not supported: use http/protobuf", p)
	}
	if o.Interval < 1 {
		return fmt.Errorf("invalid OTEL_METRIC_EXPORT_INTERVAL %d: it must be milliseconds such as 60000", o.Interval)
	}
	_, err := o.header()
	return err
}

func (o otlp) header() (http.Header, error) {
	h := http.Header{"Content-Type": {"application/x-protobuf"}}
	for _, pair := range strings.FieldsFunc(o.Headers, func(r rune) bool { return r == ',' }) {
		name, value, found := strings.Cut(pair, "=")
		text, err := url.PathUnescape(strings.TrimSpace(value))
		if !found || err != nil {
			return nil, errors.New("invalid OTEL_EXPORTER_OTLP_HEADERS: it must look like name=value,name=value") // it is a secret
		}
		h.Add(strings.TrimSpace(name), text)
	}
	return h, nil
}

// push pushes the figures from time to time until ctx ends, and once more then. What fails is
// told once, until one succeeds again.
func (o otlp) push(ctx context.Context, families func() []*family, out *output) {
	failing := false
	for ended := false; !ended; {
		ended = backoff.Sleep(ctx, time.Duration(o.Interval)*time.Millisecond) != nil
		err := o.send(context.WithoutCancel(ctx), families())
		if err != nil && !failing {
			out.writeWarning("warning: " + err.Error())
		}
		failing = err != nil
	}
}

func (o otlp) send(ctx context.Context, all []*family) error {
	body, err := proto.Marshal(encodeOTLP(all)) // the same bytes as an ExportMetricsServiceRequest
	if err != nil || len(all) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, otlpTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(o.Endpoint, "/")+"/v1/metrics", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if req.Header, err = o.header(); err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("push figures: %w; see OTEL_EXPORTER_OTLP_ENDPOINT", err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 200)) // what there is of a reason
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("push figures: %s answered %s: %q; see OTEL_EXPORTER_OTLP_ENDPOINT", o.Endpoint, resp.Status, text)
	}
	return nil
}

func encodeOTLP(all []*family) *metricspb.MetricsData {
	var encoded []*metricspb.Metric
	for _, f := range all {
		var points []*metricspb.NumberDataPoint
		for _, s := range f.samples {
			point := &metricspb.NumberDataPoint{TimeUnixNano: uint64(s.at.UnixNano()), Value: &metricspb.NumberDataPoint_AsDouble{AsDouble: s.value}}
			for _, l := range s.labels {
				point.Attributes = append(point.Attributes, attribute(l[0], l[1]))
			}
			points = append(points, point)
		}
		m := &metricspb.Metric{Name: f.name, Description: f.help, Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: points}}}
		if f.counter {
			m.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{DataPoints: points, IsMonotonic: true,
				AggregationTemporality: metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE}}
		}
		encoded = append(encoded, m)
	}
	resource := &resourcepb.Resource{Attributes: []*commonpb.KeyValue{attribute("service.name", cmp.Or(os.Getenv("OTEL_SERVICE_NAME"), "banyan-migrate"))}}
	return &metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{Resource: resource,
		ScopeMetrics: []*metricspb.ScopeMetrics{{Scope: &commonpb.InstrumentationScope{Name: "banyan-migrate", Version: serving.Version()}, Metrics: encoded}}}}}
}

func attribute(name, value string) *commonpb.KeyValue {
	return &commonpb.KeyValue{Key: name, Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: value}}}
}
