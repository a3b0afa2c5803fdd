package relay

// TrackID names one published track in the whole mesh. It is the LiveKit track
// sid ("TR_" and random characters), so it is unique without coordination.
type TrackID string

// Kind tells audio from video; queues drop video before audio.
type Kind uint8

const (
	Audio Kind = iota
	Video
)

func (k Kind) String() string {
	if k == Audio {
		return "audio"
	}
	return "video"
}

// MaxSpatial and MaxTemporal bound the layers of one track. Three simulcast
// encodings or SVC spatial layers, with up to four temporal layers, are all that
// WebRTC clients produce.
const (
	MaxSpatial  = 3
	MaxTemporal = 4
)

// LayerSet is a set of (spatial, temporal) layers of one track, a bit each. For
// simulcast the spatial index is the encoding (0 = smallest picture), for SVC the
// spatial layer. Audio has two layers: (0,0) is what is among the loudest of its
// room, (0,1) what is not. Demand is expressed in it: the union of what several sinks
// want is a bitwise or.
type LayerSet uint16

// NoLayers asks for nothing: the track is not watched.
const NoLayers LayerSet = 0

// AllLayers asks for every layer the publisher sends.
const AllLayers LayerSet = 1<<(MaxSpatial*MaxTemporal) - 1

// Layer returns the set with the one given layer.
func Layer(spatial, temporal uint8) LayerSet {
	return 1 << (spatial*MaxTemporal + temporal)
}

// UpTo returns the temporal layers 0..temporal of one spatial layer.
func UpTo(spatial, temporal uint8) LayerSet {
	return (1<<(temporal+1) - 1) << (spatial * MaxTemporal)
}

// Spatial returns every temporal layer of one spatial layer.
func Spatial(spatial uint8) LayerSet { return UpTo(spatial, MaxTemporal-1) }

// Has reports whether the set holds the layer.
func (s LayerSet) Has(spatial, temporal uint8) bool {
	return s>>(spatial*MaxTemporal+temporal)&1 != 0
}

// HasSpatial reports whether any temporal layer of the spatial layer is in the set.
func (s LayerSet) HasSpatial(spatial uint8) bool { return s&Spatial(spatial) != 0 }

// Clock ties a track's RTP time to its publisher's wall clock, from an RTCP sender
// report (RFC 3550 section 6.4.1). It travels to every node, so that the edge mints
// sender reports from it and lips stay in sync.
type Clock struct {
	// Spatial is the encoding the pair belongs to: each has its own RTP offset.
	Spatial uint8
	// NTP is the publisher's time, 32.32 fixed point seconds since 1900.
	NTP uint64
	// RTP is the media timestamp of the same instant.
	RTP uint32
	// Arrived is this node's own time of arrival in nanoseconds (Packet.Arrived's clock).
	Arrived int64
}

// Source is the upstream of a track on this node: a client's publisher or a link.
// Methods never block and may be called from any goroutine.
type Source interface {
	// Demand replaces the set of layers this node wants.
	Demand(LayerSet)
	// Keyframe asks for a keyframe of one spatial layer.
	Keyframe(spatial uint8)
	// Resend asks for packets that this node's ring lacks. The slice is the source's
	// to keep.
	Resend(encoding uint8, seqs []uint16)
}

// Sink is where packets of a track leave: a client's subscriber or a link.
// Methods never block; they are called from the goroutines that push packets: one
// packet of an encoding at a time, several encodings at once.
type Sink interface {
	// Push offers one packet. The sink must Retain it to keep it beyond the call.
	Push(*Packet)
	// Clock tells of a new clock pair.
	Clock(Clock)
	// Close tells that the track has ended. No call follows, save a Push or Clock that
	// was already under way in another goroutine: a sink must bear those.
	Close()
}
