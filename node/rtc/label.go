package rtc

import (
	"github.com/pion/interceptor"
	"github.com/pion/rtp"

	"maille/node/rtc/sdp"
	"maille/relay"
)

// Browsers name the streams of a simulcast track by header extensions, and only until
// they hear a report of them (RFC 8852). A client that comes from another node has long
// stopped; what its streams were is told by Label, and their first packets get the
// extensions back.

// labelled is how many packets of a stream are labelled; pion looks at the first 10.
const labelled = 64

// Stream is one RTP stream that a client sends.
type Stream struct {
	Rid          string
	SSRC, Repair uint32 // Repair is 0 without retransmissions of their own
}

type label struct {
	mid, rid string
	repair   bool
}

// Streams lists what came of a published track so far, by encoding.
func (p *Peer) Streams(id relay.TrackID) (out [relay.MaxSpatial]Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.up.readers {
		if r.pub.track.ID() == id {
			out[r.encoding] = Stream{Rid: r.track.RID(), SSRC: uint32(r.track.SSRC()), Repair: uint32(r.track.RtxSSRC())}
		}
	}
	return out
}

// Label tells the streams of a section that the client will not name.
func (p *Peer) Label(mid string, streams []Stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up.labels == nil {
		p.up.labels = make(map[uint32]label)
	}
	for _, s := range streams {
		if s.SSRC == 0 || s.Rid == "" || len(p.up.labels) >= sdp.MaxOfferSections*relay.MaxSpatial*2 {
			continue
		}
		p.up.labels[s.SSRC] = label{mid: mid, rid: s.Rid}
		if s.Repair != 0 {
			p.up.labels[s.Repair] = label{mid: mid, rid: s.Rid, repair: true}
		}
	}
}

type labelsFactory struct{ engine *Engine }

func (f labelsFactory) NewInterceptor(id string) (interceptor.Interceptor, error) {
	return &labels{engine: f.engine, id: id}, nil
}

// labels gives packets their names back.
type labels struct {
	interceptor.NoOp
	engine *Engine
	id     string // pion's name of the connection
}

func (i *labels) of(ssrc uint32) (l label, ok bool) {
	v, ok := i.engine.byID.Load(i.id)
	if !ok {
		return l, false
	}
	p := v.(*Peer)
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok = p.up.labels[ssrc]
	return l, ok
}

// BindRemoteStream is told of each new stream, declared or not.
func (i *labels) BindRemoteStream(info *interceptor.StreamInfo, in interceptor.RTPReader) interceptor.RTPReader {
	l, ok := i.of(info.SSRC)
	if !ok {
		return in
	}
	ids := make(map[string]uint8)
	for _, e := range info.RTPHeaderExtensions {
		ids[e.URI] = uint8(e.ID)
	}
	rid := ids[uriRid]
	if l.repair {
		rid = ids[uriRepairedRid]
	}
	if ids[uriMid] == 0 || rid == 0 {
		return in
	}
	left := labelled
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := in.Read(b, a)
		if err != nil || n == 0 || left == 0 {
			return n, a, err
		}
		left--
		if longer, ok := name(b, n, ids[uriMid], l.mid, rid, l.rid); ok {
			return longer, nil, nil // what is cached in a is of the packet as it came
		}
		return n, a, nil
	})
}

// name adds a packet's extensions in place and returns its new length; false leaves it
// as it is.
func name(b []byte, n int, midID uint8, mid string, ridID uint8, rid string) (int, bool) {
	var p rtp.Packet
	if p.Unmarshal(append([]byte(nil), b[:n]...)) != nil {
		return n, false
	}
	if p.Header.SetExtension(midID, []byte(mid)) != nil || p.Header.SetExtension(ridID, []byte(rid)) != nil {
		return n, false
	}
	if p.MarshalSize() > len(b) {
		return n, false
	}
	out, err := p.MarshalTo(b)
	return out, err == nil
}
