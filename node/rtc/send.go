package rtc

import (
	"encoding/binary"

	"github.com/pion/rtp"

	"maille/relay"
	"maille/relay/rewrite"
)

const (
	profileOneByte = 0xBEDE // RFC 8285 section 4.2
	profileTwoByte = 0x1000
	oneByteMost    = 16 // bytes of an element in the one-byte form

	originBytes = 2 // original sequence number before an RTX payload (RFC 4588 section 4)
)

// writer builds and writes the packets of one subscriber. It is the one place with
// pion's writers: it will be replaced by batched sends of our own. It reuses its
// header and buffers, so it is used under Subscriber.mu.
type writer struct {
	header  rtp.Header
	numbers [2]byte // transport-wide sequence number
	dd      []byte  // dependency descriptor
	delay   []byte  // playout delay; nil once the client knows it
	payload []byte
	rtxSeq  uint16
}

func newWriter() writer {
	return writer{
		header: rtp.Header{Version: 2, Extensions: make([]rtp.Extension, 0, 4)},
		dd:     make([]byte, 0, 255), payload: make([]byte, 0, originBytes+relay.BufferSize), rtxSeq: firstSeq(),
	}
}

// head fills the header for a packet as o says; in is nil for padding.
func (w *writer) head(c *pathToClient, b *binding, in *relay.Packet, f *frames, o rewrite.Out, marker bool) {
	h := &w.header
	h.Padding, h.PaddingSize, h.Marker = false, 0, marker
	h.PayloadType, h.SSRC, h.SequenceNumber, h.Timestamp = b.pt, b.ssrc, o.Seq, o.Timestamp
	h.Extensions, h.Extension, h.ExtensionProfile = h.Extensions[:0], false, profileOneByte
	if in != nil {
		if b.redundant(in) {
			h.PayloadType = b.red
		}
		if b.ids.Descriptor != 0 && len(in.Descriptor) > 0 {
			w.dd = f.append(w.dd[:0], in, o.Seq)
			w.extend(b.ids.Descriptor, w.dd)
		}
		w.extend(b.ids.CaptureTime, in.CaptureTime)
		w.extend(b.ids.PlayoutDelay, w.delay)
	}
	if b.ids.TransportCC != 0 {
		binary.BigEndian.PutUint16(w.numbers[:], uint16(c.next.Add(1)))
		w.extend(b.ids.TransportCC, w.numbers[:])
	}
}

func (w *writer) extend(id uint8, body []byte) {
	if id == 0 || len(body) == 0 || len(body) > 255 {
		return
	}
	h := &w.header
	h.Extension = true
	if len(body) > oneByteMost || id > 14 {
		h.ExtensionProfile = profileTwoByte
	}
	_ = h.SetExtension(id, body) // its checks are the two above
}

// Push is called by the track with each packet of the layers that are wanted.
func (s *Subscriber) Push(p *relay.Packet) {
	b := s.bound.Load()
	if b == nil {
		s.drops.Add(relay.DropSend)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	o, why, ok, pad, marker := s.out.pass(p)
	switch {
	case ok:
		s.first(b, p, o, marker)
		s.progress(p, o)
	case pad:
		s.drops.Add(why)
		s.padding(b, o)
		s.progress(p, o)
	case s.awaited(b, p, why):
	default:
		s.drops.Add(why)
	}
	s.upstream(p.Arrived)
}

// progress notes what was sent: in order, or late into a place kept for it, which the
// client may have asked for; the caller holds mu.
func (s *Subscriber) progress(p *relay.Packet, o rewrite.Out) {
	if int16(o.Seq-s.newest) > 0 {
		s.newest = o.Seq
		return
	}
	s.settled.Add(o.Seq, p.Arrived)
	s.pending.Came(p.Encoding, p.Seq)
}

// awaited sends a packet that would be left out by now, of the layer before perhaps,
// if the client has asked for it; the caller holds mu.
func (s *Subscriber) awaited(b *binding, p *relay.Packet, why relay.Drop) bool {
	if s.pending.Len() == 0 || why == relay.DropMuted {
		return false
	}
	seq, ok := s.pending.Came(p.Encoding, p.Seq)
	if ok {
		s.resend(b, seq, p, p.Arrived)
	}
	return ok
}

// first sends a packet for the first time, when its time comes; the caller holds mu.
func (s *Subscriber) first(b *binding, p *relay.Packet, o rewrite.Out, marker bool) {
	// Of layers inside one stream, the lowest begins the picture.
	key := p.Keyframe && p.FrameStart && p.Spatial == p.Encoding && int16(o.Seq-s.newest) > 0
	if key {
		s.keyed, s.key = true, o.Seq
	}
	s.send(&paced{s: s, b: b, p: p, out: o, marker: marker, key: key, size: len(p.Payload) + packetOverhead})
}

// padding fills a number that stays empty, so that the client stops asking for it.
func (s *Subscriber) padding(b *binding, o rewrite.Out) {
	s.send(&paced{s: s, b: b, out: o, size: packetOverhead})
}

// again sends a packet that the client missed; the caller holds mu.
func (s *Subscriber) again(b *binding, p *relay.Packet, o rewrite.Out) {
	if b.rtx == 0 && (b.ids.TransportCC != 0 || b.ids.Descriptor != 0 || b.ids.PlayoutDelay != 0 || s.out.svc) {
		return // it might not be the same: see extensions
	}
	s.send(&paced{s: s, b: b, p: p, out: o, marker: s.out.marked(p), again: true, size: len(p.Payload) + packetOverhead})
}

// send writes a packet, or lets it wait in the pacer; the caller holds mu.
func (s *Subscriber) send(w *paced) {
	if s.down.Kind == relay.Video && s.peer.path.pacer.hold(w) {
		return
	}
	s.write(w)
}

// leave writes a packet that has waited.
func (s *Subscriber) leave(w *paced) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || s.bound.Load() != w.b {
		return // it has another codec now
	}
	if w.again && s.outdated(w.out.Seq) {
		s.drops.Add(relay.DropShed)
		return
	}
	s.write(w)
}

// write sends a packet; the caller holds mu.
func (s *Subscriber) write(out *paced) {
	w, b, p := &s.writer, out.b, out.p
	w.head(&s.peer.path, b, p, &s.out.frames, out.out, out.marker)
	payload, ok := w.payload[:0], p != nil
	if out.again && b.rtx != 0 { // the retransmission format (RFC 4588), else the very same packet
		payload = binary.BigEndian.AppendUint16(payload, out.out.Seq)
		w.header.PayloadType, w.header.SSRC, w.header.SequenceNumber = b.rtx, b.rtxSSRC, w.rtxSeq
		w.rtxSeq++
	}
	if ok {
		if payload, ok = s.out.payload(payload, b, p, out.out); !ok {
			s.drops.Add(relay.DropMalformed)
		}
	}
	if !ok {
		w.header.Padding, w.header.PaddingSize = true, 1
	}
	s.note(b, len(payload)+int(w.header.PaddingSize), false)
	if _, err := b.writer.WriteRTP(&w.header, payload); err != nil {
		s.drops.Add(relay.DropSend)
		return
	}
	switch {
	case !ok:
	case out.again:
		s.resent.Add(1)
	default:
		if s.sent.Add(1) == 1 {
			s.begun = out.out.Seq
		}
		s.bytes.Add(uint64(len(payload)))
		s.repair.credit(len(payload))
	}
}

// answer repairs what the client missed, from the track's ring. What is not there is
// sent when it comes, and asked for upstream if it does not.
func (s *Subscriber) answer(now int64, seqs []uint16) {
	b := s.bound.Load()
	if b == nil {
		return
	}
	narrow := s.peer.path.pacer.rate.Load() != 0
	var rtt int64
	if h := s.heard.Load(); h != nil {
		rtt = h.RTT
	}
	for _, seq := range seqs {
		s.mu.Lock()
		encoding, origin, ok := s.out.numbers.Origin(seq)
		if ok && !s.ended && !(narrow && s.outdated(seq)) && !s.settled.Crossing(seq, now, rtt) {
			if p := s.track.Lookup(encoding, origin); p != nil {
				s.resend(b, seq, p, now)
				p.Release()
			} else {
				s.pending.Add(seq, encoding, origin, now)
			}
		}
		s.mu.Unlock()
	}
}

// outdated tells of a number before the newest keyframe: a decoder can do without, so
// it is not worth the room on a narrow path. The caller holds mu.
func (s *Subscriber) outdated(seq uint16) bool { return s.keyed && int16(seq-s.key) < 0 }

// resend sends p in the place of seq; the caller holds mu.
func (s *Subscriber) resend(b *binding, seq uint16, p *relay.Packet, now int64) {
	if !s.repair.take(len(p.Payload)) {
		s.drops.Add(relay.DropShed)
		return
	}
	if o, ok := s.out.numbers.Again(seq, p); ok {
		s.again(b, p, o)
		s.settled.Add(seq, now)
	}
}

// Clock is called by the track with each new clock pair.
func (s *Subscriber) Clock(c relay.Clock) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.numbers.Clock(c)
}
