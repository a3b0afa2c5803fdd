package obs

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// instruments makes observable instruments and gathers their errors.
type instruments struct {
	meter metric.Meter
	all   []metric.Observable
	errs  []error
}

func (i *instruments) count(name, unit, about string) metric.Int64Observable {
	c, err := i.meter.Int64ObservableCounter(name, metric.WithUnit(unit), metric.WithDescription(about))
	i.all, i.errs = append(i.all, c), append(i.errs, err)
	return c
}

func (i *instruments) level(name, unit, about string) metric.Float64Observable {
	g, err := i.meter.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(about))
	i.all, i.errs = append(i.all, g), append(i.errs, err)
	return g
}

// by makes labels out of names and values in turn.
func by(labels ...string) metric.MeasurementOption {
	var set []attribute.KeyValue
	for i := 0; i+1 < len(labels); i += 2 {
		set = append(set, attribute.String(labels[i], labels[i+1]))
	}
	return metric.WithAttributeSet(attribute.NewSet(set...))
}

// reading is one scrape.
type reading struct{ metric.Observer }

func (r reading) count(c metric.Int64Observable, n uint64, labels ...string) {
	r.ObserveInt64(c, int64(n), by(labels...))
}

func (r reading) level(g metric.Float64Observable, v float64, labels ...string) {
	r.ObserveFloat64(g, v, by(labels...))
}

func (r reading) yes(g metric.Float64Observable, v bool, labels ...string) {
	n := 0.0
	if v {
		n = 1
	}
	r.level(g, n, labels...)
}

func (r reading) kinds(g metric.Float64Observable, k Kinds, labels ...string) {
	r.level(g, float64(k.Audio), append(labels, "kind", "audio")...)
	r.level(g, float64(k.Video), append(labels, "kind", "video")...)
}

// observe registers every metric that is read rather than recorded. Each group makes
// its instruments and returns what reads them.
func observe(meter metric.Meter, src Sources) error {
	i := &instruments{meter: meter}
	var reads []func(reading)
	if src.Rooms != nil {
		reads = append(reads, rooms(i, src.Rooms))
	}
	if src.Sessions != nil {
		open := i.level("signal.sessions", "{session}", "Open signalling sockets.")
		reads = append(reads, func(r reading) { r.level(open, float64(src.Sessions())) })
	}
	if src.Guards != nil {
		turned := i.count("client.refused", "{refusal}", "What clients tried and were refused, and nodes in rooms that are not theirs, by reason.")
		reads = append(reads, func(r reading) {
			for why, n := range src.Guards() {
				r.count(turned, n, "reason", why)
			}
		})
	}
	if src.Links != nil {
		reads = append(reads, links(i, src.Links))
	}
	if src.Refused != nil {
		reads = append(reads, refused(i, src.Refused))
	}
	if src.Unsent != nil {
		reads = append(reads, unsent(i, src.Unsent))
	}
	if src.Totals != nil {
		reads = append(reads, totals(i, src.Totals))
	}
	if src.Raft != nil {
		reads = append(reads, raft(i, src.Raft))
	}
	if src.Gossip != nil {
		reads = append(reads, gossip(i, src.Gossip))
	}
	if err := errors.Join(i.errs...); err != nil {
		return err
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, read := range reads {
			read(reading{o})
		}
		return nil
	}, i.all...)
	return err
}

func rooms(i *instruments, src func() Rooms) func(reading) {
	open := i.level("rooms.active", "{room}", "Rooms this node serves.")
	people := i.level("participants.active", "{participant}", "Participants attached to this node.")
	tracks := i.level("tracks.active", "{track}", "Tracks this node holds: published by its clients, or relayed from other nodes.")
	subs := i.level("subscriptions.active", "{subscription}", "Tracks that this node sends to its clients.")
	known := i.level("client.estimates", "{client}", "Clients to which the path's bandwidth is known.")
	short := i.level("client.short", "{client}", "Clients that get less video than they asked for, for want of bandwidth.")
	estimate := i.level("client.estimate", "By/s", "What the paths to clients are estimated to carry: the least of them, and their mean; absent while none is known.")
	return func(r reading) {
		v := src()
		r.level(open, float64(v.Rooms))
		r.level(people, float64(v.Participants))
		r.kinds(tracks, v.Published, "origin", "client")
		r.kinds(tracks, v.Relayed, "origin", "link")
		r.kinds(subs, v.Subscribed)
		r.level(known, float64(v.Paths.Known))
		r.level(short, float64(v.Paths.Short))
		if v.Paths.Known > 0 {
			r.level(estimate, v.Paths.Least, "of", "least")
			r.level(estimate, v.Paths.Mean, "of", "mean")
		}
	}
}

func raft(i *instruments, src func() Raft) func(reading) {
	leads := i.level("raft.is_leader", "", "1 while this node leads.")
	quorum := i.level("raft.quorum", "", "1 while commits can be expected to work from here.")
	voter := i.level("raft.is_voter", "", "1 while this node votes.")
	failed := i.level("raft.failed", "", "1 once this node has given Raft up; media goes on.")
	without := i.level("raft.leaderless", "s", "For how long no leader has been known here.")
	changes := i.count("raft.leader.changes", "{change}", "Leaders that this node has seen take over.")
	applied := i.count("raft.applied", "{entry}", "Index of the last log entry applied here.")
	return func(r reading) {
		v := src()
		r.yes(leads, v.Leader)
		r.yes(quorum, v.Quorum)
		r.yes(voter, v.Voter)
		r.yes(failed, v.Failed)
		r.level(without, v.Leaderless.Seconds())
		r.count(changes, v.Changes)
		r.count(applied, v.Applied)
	}
}

func gossip(i *instruments, src func() Gossip) func(reading) {
	members := i.level("gossip.members", "{node}", "Nodes in this node's view, itself included, by state.")
	refused := i.count("gossip.refused", "{message}", "What gossip brought and was turned away, by reason.")
	return func(r reading) {
		v := src()
		for state, n := range v.Members {
			r.level(members, float64(n), "state", state)
		}
		for why, n := range v.Refused {
			r.count(refused, n, "reason", why)
		}
	}
}
