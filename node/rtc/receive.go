package rtc

import (
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/pion/rtcp"

	"maille/node/rtc/missing"
	"maille/relay"
	"maille/relay/codec"
	"maille/relay/packet"
	"maille/relay/track"
)

// maxResend bounds the packets of one request that climbed here: a NACK block holds
// 17, and a client answers no more than a burst.
const maxResend = 128

// publication is the relay.Source of a track that this peer's client sends.
type publication struct {
	peer        *Peer
	sid         relay.TrackID // as clients know it; the track of a further codec has its own
	track       *track.Track
	further     bool // see Further; the track is not this peer's to close
	stereo, dtx bool
	ssrc        [relay.MaxSpatial]atomic.Uint32 // 0 until the encoding's stream began
	drops       relay.Drops
	asked       atomic.Uint64 // packets that the client was asked for again

	mu      sync.Mutex // guards all below
	demand  relay.LayerSet
	pending bool // the handler is about to hear of demand
}

func newPublication(p *Peer, s *upSection, e Expect) *publication {
	if e.Into != nil {
		return e.Into.pub
	}
	return &publication{
		peer: p, sid: e.Sid, stereo: e.Stereo, dtx: !e.NoDTX,
		track: track.New(e.Sid, e.Kind, s.terms.mime, track.WithClock(p.engine.now)),
	}
}

// Demand tells the handler, which hears only the newest set.
func (pub *publication) Demand(want relay.LayerSet) {
	pub.mu.Lock()
	defer pub.mu.Unlock()
	pub.demand = want
	if pub.pending {
		return
	}
	pub.pending = true
	pub.peer.post(func() {
		pub.mu.Lock()
		want := pub.demand
		pub.pending = false
		pub.mu.Unlock()
		pub.peer.h.Demand(pub.track.ID(), want)
	})
}

// Keyframe asks the client for one; package track keeps the requests apart.
func (pub *publication) Keyframe(spatial uint8) {
	if ssrc := pub.stream(spatial); ssrc != 0 {
		pub.peer.feed(&rtcp.PictureLossIndication{MediaSSRC: ssrc})
	}
}

// Resend asks the client for packets that are missing here too.
func (pub *publication) Resend(spatial uint8, seqs []uint16) {
	ssrc := pub.stream(spatial)
	if ssrc == 0 || len(seqs) == 0 {
		return
	}
	seqs = seqs[:min(len(seqs), maxResend)]
	pub.peer.feed(&rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(seqs)})
}

// stream returns the SSRC of an encoding, 0 before its first packet.
func (pub *publication) stream(spatial uint8) uint32 {
	if spatial >= relay.MaxSpatial {
		return 0
	}
	return pub.ssrc[spatial].Load()
}

// PublicationStats count what did not reach the track; the rest is in track.Stats.
type PublicationStats struct {
	Asked uint64            // packets the client was asked for again
	Drops map[string]uint64 // by reason
}

// PublicationStats returns the counters of a published track, false when there is
// none of that name.
func (p *Peer) PublicationStats(id relay.TrackID) (PublicationStats, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.up.sections {
		if s.pub != nil && s.pub.track.ID() == id {
			return PublicationStats{Asked: s.pub.asked.Load(), Drops: s.pub.drops.Snapshot()}, true
		}
	}
	return PublicationStats{}, false
}

// reader brings one RTP stream of a publication into its track.
type reader struct {
	pub       *publication
	encoding  uint8
	simulcast bool // each spatial layer is an encoding
	terms     terms
	arrival
	now func() int64

	mu      sync.Mutex // guards all below: repaired packets come from another goroutine
	inspect *codec.Inspector
	gaps    missing.Gaps
}

// packets runs until the stream or the peer ends.
func (r *reader) packets() {
	defer r.pub.peer.forget(r)
	for {
		p := relay.NewPacket()
		n, _, err := r.track.Read(p.Buffer())
		if err != nil {
			p.Release()
			return
		}
		p.Arrived = r.now()
		switch {
		case packet.Parse(p, n, r.terms.extensions) != nil:
			r.drop(p, relay.DropMalformed)
		case !r.terms.accept(p):
			r.drop(p, relay.DropUnknown)
		default:
			r.take(p)
		}
	}
}

func (r *reader) drop(p *relay.Packet, why relay.Drop) {
	r.pub.drops.Add(why)
	p.Release()
}

// take gives a packet, first sent or repaired, to the track.
func (r *reader) take(p *relay.Packet) {
	p.Encoding, p.Spatial = r.encoding, r.encoding
	r.mu.Lock()
	opened := r.gaps.Seen(p.Seq, p.Arrived)
	if len(p.Payload) > 0 {
		r.inspect.Inspect(p)
	}
	if r.simulcast {
		p.Spatial = r.encoding // layers inside of an encoding are not told apart
	}
	r.mu.Unlock()
	r.pub.track.Push(p)
	if opened {
		select {
		case r.pub.peer.up.gapped <- struct{}{}:
		default:
		}
	}
}

// reports reads the RTCP that the client sends about the stream: its sender reports
// tie RTP time to its wall clock.
func (r *reader) reports() {
	b := make([]byte, relay.BufferSize)
	rid := r.track.RID()
	for {
		var n int
		var err error
		if rid == "" {
			n, _, err = r.receiver.Read(b)
		} else {
			n, _, err = r.receiver.ReadSimulcast(b, rid)
		}
		if err != nil {
			return
		}
		if c, ok := senderReport(b[:n], uint32(r.track.SSRC())); ok {
			c.Spatial, c.Arrived = r.encoding, r.now()
			r.pub.track.Clock(c)
		}
	}
}

// senderReport finds the clock pair of ssrc in a compound RTCP packet (RFC 3550
// section 6.4.1).
func senderReport(b []byte, ssrc uint32) (relay.Clock, bool) {
	const senderReportType = 200
	for len(b) >= 4 && b[0]>>6 == 2 {
		size := 4 * (int(binary.BigEndian.Uint16(b[2:])) + 1)
		if size > len(b) {
			break
		}
		if b[1] == senderReportType && size >= 28 && binary.BigEndian.Uint32(b[4:]) == ssrc {
			return relay.Clock{NTP: binary.BigEndian.Uint64(b[8:]), RTP: binary.BigEndian.Uint32(b[16:])}, true
		}
		b = b[size:]
	}
	return relay.Clock{}, false
}
