package rtc

import (
	"math/rand/v2"

	"maille/relay"
	"maille/relay/allocate"
	"maille/relay/audio"
	"maille/relay/codec"
	"maille/relay/layer"
	"maille/relay/rewrite"
	"maille/relay/track"
)

const (
	// Outgoing numbers known for NACKs: one second of audio, two to three of video.
	audioHistory = 64
	videoHistory = 512

	// longPause is how long a track may send nothing before its next packet, of video its
	// next keyframe, begins anew, without a gap in the numbers: after minutes of silence
	// they may have wrapped. What was lost so long ago nobody asks for.
	longPause = 5 * 1e9 // nanoseconds

	// exactDemand asks upstream for the layers of an encoding that are needed, else for
	// whole encodings. Links tell what they leave out (relay.Packet.Omitted).
	exactDemand = true
)

// forwarder decides which packets of a track one client gets, and with which numbers.
// It is guarded by Subscriber.mu.
type forwarder struct {
	codec    codec.Codec
	svc      bool            // one encoding carries all spatial layers
	selector *layer.Selector // nil for audio
	numbers  *rewrite.Rewriter
	frames   frames
	wish     layer.Want      // what the client asks for
	granted  allocate.Choice // what of it there is bandwidth for; of video
	want     layer.Want      // both together
	exact    bool            // see exactDemand
	resume   bool            // audio: the next packet begins anew
	last     int64           // when the last packet that goes on came
}

func newForwarder(d Down, now int64) forwarder {
	c := codec.Of(d.Mime)
	history := audioHistory
	f := forwarder{codec: c, exact: exactDemand, resume: true, granted: everything, wish: layer.Want{
		Spatial:  min(d.MaxSpatial, relay.MaxSpatial-1),
		Temporal: min(d.MaxTemporal, relay.MaxTemporal-1), Paused: d.Paused,
	}}
	f.want = f.wish
	if d.Kind == relay.Video {
		// VP9 and AV1 come as one encoding with layers inside, unless packets tell.
		f.svc = c == codec.VP9 || c == codec.AV1
		f.selector, history = layer.New(f.svc, f.want, now), videoHistory
	}
	f.numbers = rewrite.New(rewrite.Config{Codec: c, Seq: firstSeq(), Timestamp: rand.Uint32(), History: history})
	return f
}

// firstSeq is where outgoing sequence numbers begin: 1 to 32767, so that a client that
// misses the first packets does not guess SRTP's rollover counter wrong.
func firstSeq() uint16 { return uint16(1 + rand.IntN(1<<15-1)) }

func (f *forwarder) limit(spatial, temporal uint8, now int64) {
	f.wish.Spatial, f.wish.Temporal = min(spatial, relay.MaxSpatial-1), min(temporal, relay.MaxTemporal-1)
	f.apply(now)
}

func (f *forwarder) pause(paused bool, now int64) {
	f.wish.Paused = paused
	f.apply(now)
}

// everything is granted where bandwidth is no question.
var everything = allocate.Choice{On: true, Spatial: relay.MaxSpatial - 1, Temporal: relay.MaxTemporal - 1}

// grant bounds what the client asks for by what there is bandwidth for. With abrupt a
// layer that is too much ends at once, and not when the keyframe of the smaller one
// comes.
func (f *forwarder) grant(c allocate.Choice, abrupt bool, now int64) {
	f.granted = c
	if abrupt && c.On && f.spatial() > int(c.Spatial) && !f.svc {
		stop := f.want
		stop.Paused = true
		f.selector.Want(stop, now)
	}
	f.apply(now)
}

func (f *forwarder) apply(now int64) {
	f.want = f.wish
	if f.selector == nil {
		return
	}
	f.want.Spatial, f.want.Temporal = min(f.wish.Spatial, f.granted.Spatial), min(f.wish.Temporal, f.granted.Temporal)
	f.want.Paused = f.wish.Paused || !f.granted.On
	f.selector.Want(f.want, now)
}

// wants is what is asked for upstream. Audio has two layers, see relay.LayerSet.
func (f *forwarder) wants() relay.LayerSet {
	switch {
	case f.selector != nil && f.exact:
		return f.selector.Needs()
	case f.selector != nil:
		return f.selector.Demand()
	case f.want.Paused:
		return relay.NoLayers
	}
	return relay.UpTo(0, min(f.want.Temporal, audio.Silent))
}

// hears is what is also heard when it passes for others: whole encodings, to tell a
// packet left out here from a packet lost.
func (f *forwarder) hears() relay.LayerSet {
	if f.selector == nil || !f.exact {
		return relay.NoLayers // all that is heard is asked for
	}
	return f.selector.Demand()
}

// pass decides on one packet. Without ok it is dropped for why; pad then says that a
// packet of padding is due in its place.
func (f *forwarder) pass(p *relay.Packet) (o rewrite.Out, why relay.Drop, ok, pad, marker bool) {
	marker = p.Marker
	if f.svc && p.Encoding > 0 {
		f.simulcast(p.Arrived)
	}
	if f.selector == nil {
		if f.want.Paused {
			f.resume = true
			return o, relay.DropMuted, false, false, false
		}
		if len(p.Payload) > 0 {
			if f.resume || p.Arrived-f.last > longPause {
				f.numbers.Switch(p.Encoding)
				f.resume = false
			}
			f.last = p.Arrived
		}
	} else {
		v := f.selector.Packet(p)
		if !v.Forward {
			if v.Skipped {
				o, pad = f.numbers.Skip(p)
			}
			return o, v.Why, false, pad, false
		}
		if v.Switched || p.Keyframe && p.FrameStart && p.Arrived-f.last > longPause {
			f.numbers.Switch(p.Encoding)
		}
		f.last = p.Arrived
		marker = marker || v.Top && f.codec.FrameEnd(p)
	}
	if o, ok = f.numbers.Next(p); ok {
		f.frames.pass(p, o.Seq)
		return o, 0, true, false, marker
	}
	if len(p.Payload) == 0 {
		o, pad = f.numbers.Skip(p)
		return o, relay.DropNotWanted, false, pad, false
	}
	return o, relay.DropLate, false, false, false
}

// recode goes on with another codec: its own layers, and numbers after those sent.
func (f *forwarder) recode(mime string, now int64) {
	f.codec = codec.Of(mime)
	f.svc = f.codec == codec.VP9 || f.codec == codec.AV1
	f.selector = layer.New(f.svc, f.want, now)
	f.numbers.Recode(f.codec)
	f.frames = frames{}
}

// simulcast is for a VP9 or AV1 track whose encodings are the layers. A publisher keeps
// to one or the other, so there is no way back.
func (f *forwarder) simulcast(now int64) {
	f.svc = false
	f.selector = layer.New(false, f.want, now)
}

// marked tells the marker of a packet that is sent again.
func (f *forwarder) marked(p *relay.Packet) bool {
	return p.Marker || f.svc && int(p.Spatial) == f.spatial() && f.codec.FrameEnd(p)
}

// payload appends to dst what is sent of a packet, false when it cannot be read. With
// an empty dst it may alias the packet: the writer copies it.
func (f *forwarder) payload(dst []byte, b *binding, p *relay.Packet, o rewrite.Out) ([]byte, bool) {
	plain := p.Payload
	switch {
	case f.codec == codec.VP8 || f.codec == codec.VP9:
		return f.numbers.AppendPayload(dst, p, o), true
	case f.codec == codec.RED && p.PayloadType == ptRED && !b.redundant(p):
		_, block, ok := codec.Primary(p.Payload)
		if !ok || len(block) == 0 {
			return dst, false
		}
		plain = block
	}
	if len(dst) == 0 {
		return plain, true
	}
	return append(dst, plain...), true
}

// tick lets time pass while no packets do: a layer may have fallen silent.
func (f *forwarder) tick(now int64) {
	if f.selector != nil {
		f.selector.Tick(now)
	}
}

// keyframe tells when a keyframe of a layer is to be asked for.
func (f *forwarder) keyframe(now int64) (spatial uint8, ok bool) {
	if f.selector == nil {
		return 0, false
	}
	return f.selector.Keyframe(now)
}

// spatial is the layer being sent, -1 for none.
func (f *forwarder) spatial() int {
	if f.selector == nil {
		return 0
	}
	if n, _, ok := f.selector.Current(); ok {
		return int(n)
	}
	return -1
}

// encoding is the stream being sent, false for none.
func (f *forwarder) encoding() (uint8, bool) {
	n := f.spatial()
	if f.svc {
		n = min(n, 0)
	}
	return uint8(max(n, 0)), n >= 0
}

// clock returns the newest clock pair of what is being sent.
func (f *forwarder) clock(t *track.Track) (relay.Clock, bool) {
	encoding, ok := f.encoding()
	if !ok {
		return relay.Clock{}, false
	}
	return t.LastClock(encoding)
}

// live tells which layers the track has before the first packet comes from it.
func (f *forwarder) live(layers relay.LayerSet, now int64) {
	if f.selector != nil {
		f.selector.Live(layers, now)
	}
}
