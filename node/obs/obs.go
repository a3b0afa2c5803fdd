// Package obs tells operators what a node does: metrics in Prometheus' text format,
// and the process's logger. Media is never counted here: the packet path counts in its
// own atomics, and those are read when somebody asks. Labels name regions, nodes,
// kinds, directions and reasons, never a participant, track, room or address, so that
// the number of series follows the size of the mesh and not of its meetings.
package obs

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/attribute"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
)

// namespace is the prefix of every metric of our own.
const namespace = "maille"

// Config of a node's metrics.
type Config struct {
	Node, Region, Version string
	Sources               Sources
}

// maxSeries of one metric: what 255 peers drop, for each of all reasons. It bounds what a
// mistake can cost; TestCardinality bounds the rest.
const maxSeries = 255 * 20

// Metrics is one node's registry. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	provider *sdk.MeterProvider
	joins    metric.Int64Counter
	joinTime metric.Float64Histogram
}

// New makes a registry of its own: two nodes in one process do not share counters.
func New(cfg Config) (*Metrics, error) {
	m := &Metrics{registry: prometheus.NewRegistry()}
	m.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	exporter, err := otelprom.New(otelprom.WithRegisterer(m.registry), otelprom.WithoutScopeInfo(), otelprom.WithNamespace(namespace))
	if err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	m.provider = sdk.NewMeterProvider(sdk.WithReader(exporter), sdk.WithCardinalityLimit(maxSeries), sdk.WithResource(resource.NewSchemaless(
		attribute.String("service.name", namespace), attribute.String("service.version", cfg.Version),
		attribute.String("node", cfg.Node), attribute.String("region", cfg.Region),
	)))
	meter := m.provider.Meter(namespace)
	if err := observe(meter, cfg.Sources); err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	if m.joins, err = meter.Int64Counter("signal.joins", metric.WithUnit("{join}"),
		metric.WithDescription("Sockets that asked to join, by how that ended.")); err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	for _, o := range outcomes {
		m.joins.Add(context.Background(), 0, by("outcome", string(o))) // rates need a first zero
	}
	m.joinTime, err = meter.Float64Histogram("signal.join.duration", metric.WithUnit("s"),
		metric.WithDescription("From a client's request to the answer that lets it connect its media."),
		metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10))
	if err != nil {
		return nil, fmt.Errorf("obs: %w", err)
	}
	return m, nil
}

// Outcome is how a request to join ended.
type Outcome string

// Outcomes.
const (
	Joined      Outcome = "joined"      // the client was let in
	Resumed     Outcome = "resumed"     // and had been here before
	Refused     Outcome = "refused"     // the client's own doing: bad token, wrong region, unknown path
	Unavailable Outcome = "unavailable" // no node, no quorum, full: the client tries again
	Failed      Outcome = "failed"      // a fault of this node
	Left        Outcome = "left"        // the client was gone before the answer
)

var outcomes = []Outcome{Joined, Resumed, Refused, Unavailable, Failed, Left}

// Join counts a request to join. Only those that were let in go into the histogram.
func (m *Metrics) Join(o Outcome, took time.Duration) {
	ctx := context.Background()
	m.joins.Add(ctx, 1, by("outcome", string(o)))
	if o == Joined || o == Resumed {
		m.joinTime.Record(ctx, took.Seconds())
	}
}

// RefusedWith is the outcome of a request that was answered with an HTTP status.
func RefusedWith(status int) Outcome {
	switch {
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		return Unavailable
	case status >= http.StatusInternalServerError:
		return Failed
	}
	return Refused
}

// Handler serves the metrics in the format the client asks for.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Close ends the readers. Call it once nobody asks the handler any more.
func (m *Metrics) Close() error { return m.provider.Shutdown(context.Background()) }
