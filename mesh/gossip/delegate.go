package gossip

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/memberlist"
	"google.golang.org/protobuf/proto"

	meshpb "maille/proto/mesh"
)

// delegate answers memberlist. Most of it runs under memberlist's lock: it must not
// block or call back, and may still be called shortly after Close.
type delegate struct{ g *Gossip }

func (g *Gossip) delegates() (memberlist.Delegate, memberlist.EventDelegate, memberlist.ConflictDelegate, memberlist.AliveDelegate, memberlist.PingDelegate) {
	d := delegate{g}
	return d, d, d, d, d
}

func (d delegate) NodeMeta(int) []byte { return d.g.table.ownFacts() }

// NotifyAlive is the door: a node that is not let in is not a member here, even if
// others say so again and again. It does not ask who may have a name, which gossip cannot
// know: what a name counts for is up to those who see a certificate of it.
func (d delegate) NotifyAlive(n *memberlist.Node) error {
	if n.Name == d.g.cfg.Self.Name {
		return nil
	}
	_, err := decodeFacts(n.Name, n.Meta)
	if err == nil && !d.g.table.room(n.Name) {
		err = fmt.Errorf("gossip: %d nodes already", MaxNodes)
	}
	if err != nil {
		d.g.refused.Add(1)
	}
	return err
}

func (d delegate) NotifyJoin(n *memberlist.Node)   { d.put(n) }
func (d delegate) NotifyUpdate(n *memberlist.Node) { d.put(n) }

func (d delegate) put(n *memberlist.Node) {
	if n.Name == d.g.cfg.Self.Name {
		return
	}
	facts, err := decodeFacts(n.Name, n.Meta)
	if err != nil {
		return // NotifyAlive refused it before it could get here
	}
	d.g.table.put(facts, n.Address())
	d.g.wake(d.g.changed)
}

func (d delegate) NotifyLeave(n *memberlist.Node) {
	if n.Name == d.g.cfg.Self.Name {
		return
	}
	left := d.g.table.drop(n.Name, n.Address(), time.Now())
	d.g.rtt.forget(n.Name)
	level := slog.LevelWarn
	if left {
		level = slog.LevelInfo
	}
	d.g.log.Log(d.g.ctx, level, "gossip: node gone", "peer", n.Name, "left", left)
	d.g.wake(d.g.changed)
}

// NotifyConflict: memberlist has already kept the old one and ignored the new.
func (d delegate) NotifyConflict(existing, other *memberlist.Node) {
	if existing.Name == d.g.cfg.Self.Name {
		d.g.taken.Store(&NameTakenError{Name: other.Name, Addr: other.Address()})
	}
	d.g.refused.Add(1)
	d.g.log.Warn("gossip: two nodes with one name, the newcomer is ignored",
		"peer", existing.Name, "addr", existing.Address(), "newcomer", other.Address())
}

func (d delegate) NotifyMsg(b []byte) {
	l, err := decodeLoad(b)
	if err != nil {
		d.g.malformed.Add(1)
		return
	}
	if d.g.table.load(l) {
		d.g.soft.Store(true)
		d.g.loads.put(l.Node, append([]byte(nil), b...))
	}
}

func (d delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.g.loads.take(overhead, limit, d.g.table.size())
}

func (d delegate) LocalState(bool) []byte {
	return marshal(d.g.table.loadsOf())
}

func (d delegate) MergeRemoteState(b []byte, _ bool) {
	loads, err := decodeState(b)
	if err != nil {
		d.g.malformed.Add(1)
		return
	}
	for _, l := range loads {
		if d.g.table.load(l) {
			d.g.soft.Store(true)
		}
	}
}

func (d delegate) AckPayload() []byte { return d.g.rtt.encode() }

func (d delegate) NotifyPingComplete(n *memberlist.Node, rtt time.Duration, payload []byte) {
	if err := d.g.rtt.measured(n.Name, rtt, payload); err != nil {
		d.g.malformed.Add(1)
		return
	}
	d.g.table.stale()
	d.g.soft.Store(true)
}

// marshal writes a message built here. Only text that is not UTF-8 can fail, and
// every name was checked to be ASCII.
func marshal(m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

func decodeState(b []byte) ([]*meshpb.NodeLoad, error) {
	if len(b) > maxState {
		return nil, fmt.Errorf("gossip: state of %d bytes", len(b))
	}
	var s meshpb.GossipState
	if err := proto.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("gossip: state: %w", err)
	}
	return s.Loads, nil
}
