package rtc

import (
	"errors"
	"fmt"

	"maille/node/rtc/sdp"
	"maille/relay"
	"maille/relay/allocate"
	"maille/relay/track"
)

// Role says which way media flows through a Peer.
type Role uint8

const (
	// Uplink is the protocol's publisher connection: the client offers and sends, the
	// node answers.
	Uplink Role = iota
	// Downlink is the subscriber connection: the node offers and sends. It also carries
	// data towards the client.
	Downlink
	// Duplex is the single connection of newer clients: the client offers, and both send.
	// The node sends in sections that the client offers to receive in.
	Duplex
)

var roleNames = [...]string{"publisher", "subscriber", "single"}

func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "invalid"
}

// receives and sends tell which way media flows, as seen by the node.
func (r Role) receives() bool { return r != Downlink }
func (r Role) sends() bool    { return r != Uplink }

// State is how far a Peer's transport has come.
type State uint8

const (
	// Connecting: nothing from the client has been authenticated yet.
	Connecting State = iota
	// Connected: ICE and DTLS are up, media flows.
	Connected
	// Disconnected: nothing was heard for disconnectedAfter; it may come back.
	Disconnected
	// Failed: the transport is lost; only an ICE restart brings it back.
	Failed
	// Closed is the last state.
	Closed
)

var stateNames = [...]string{"connecting", "connected", "disconnected", "failed", "closed"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}

// Channel is one of the data channels of the LiveKit protocol.
type Channel uint8

const (
	// Reliable is "_reliable": ordered, every message arrives.
	Reliable Channel = iota
	// Lossy is "_lossy": unordered, never resent.
	Lossy
	// DataTrack is "_data_track": raw data-track packets, never resent.
	DataTrack
	numChannels
)

var channelLabels = [numChannels]string{"_reliable", "_lossy", "_data_track"}

func (c Channel) String() string {
	if c < numChannels {
		return channelLabels[c]
	}
	return "invalid"
}

// Handler is told what happens on a Peer: in order, from one goroutine of that
// peer, with no lock held. It may call back into the Peer, except Close, which waits
// for it. Calls end with State(Closed).
type Handler interface {
	// Candidate hands a candidate to trickle (the JSON of an RTCIceCandidateInit). The
	// SDPs of this package carry all their candidates, so it is rarely called.
	Candidate(initJSON string, final bool)
	// Offer hands the subscriber's next offer to send; the answer comes back through
	// SetAnswer with the same id. Peer.Mids has the complete mid map of the moment.
	Offer(sdp string, id uint32)
	// Sections asks the client of a Duplex peer for its next offer, with so many more
	// sections to receive in; it may be none (LiveKit's MediaSectionsRequirement).
	Sections(audio, video uint32)
	// State tells of a new transport state; why is set for Failed and for a Closed that
	// the caller did not ask for.
	State(s State, why error)
	// Published tells that a track's m-line is negotiated; no packet may have come yet.
	Published(Published)
	// Unpublished tells that the client took the track's m-line away; its relay track
	// is closed, but for that of a further codec.
	Unpublished(id relay.TrackID)
	// Demand tells which layers of a published track anyone watches (dynacast), by the
	// name of the relay track, which for a further codec is not the sid. Raises come at
	// once, reductions as relay/track decides.
	Demand(id relay.TrackID, want relay.LayerSet)
	// Stream tells that a subscribed video is held back for lack of bandwidth, or is no
	// more.
	Stream(sid relay.TrackID, held bool)
	// Data hands a message of the client; the handler owns the bytes. While it is slow,
	// the client's channel is slowed down. Packets of data tracks do not wait for the rest:
	// they come from their channel's own goroutine, the last maybe after State(Closed).
	Data(ch Channel, payload []byte)
}

// Expect is a pending AddTrack: a track that the client's next offers will carry.
type Expect struct {
	Sid relay.TrackID
	// Cid is the client's own id for it, usually the MediaStreamTrack id of its msid.
	Cid string
	// CodecCids are further ids it may carry (AddTrackRequest.simulcast_codecs.cid).
	CodecCids []string
	Kind      relay.Kind
	// Mime is the codec wished for ("video/VP8"); empty takes the first usable one of the
	// client's offer.
	Mime string
	// Into is a further codec of a track that is published already, see Peer.Further; nil
	// for a track of its own. A section that does not carry Mime is not published into it.
	Into *Further
	// Stereo and NoDTX shape the opus parameters of the answer.
	Stereo, NoDTX bool
}

// Published is a track that the client sends.
type Published struct {
	Sid relay.TrackID
	Cid string // as expected
	// SdpCid is the track id found in the offer; browsers that rewrite ids make it differ
	// from Cid.
	SdpCid string
	Mid    string
	Mime   string // "video/VP8", "audio/opus"
	// Encodings is how many simulcast encodings the offer declares, 1 without simulcast.
	Encodings int
	Track     *track.Track
}

// Down names a track towards a subscriber.
type Down struct {
	Sid relay.TrackID
	// Stream is the msid's stream id ("PA_x|TR_y", or "PA_x|camera" when streams are
	// synced); the msid's track id is Sid.
	Stream string
	Kind   relay.Kind
	Mime   string
	// MaxSpatial and MaxTemporal are the first choice of layer, see Subscriber.Select. Of
	// audio, MaxTemporal 0 sends what is among the room's loudest, 1 everything.
	MaxSpatial, MaxTemporal uint8
	// Paused starts without packets, see Subscriber.Pause.
	Paused bool
	// Refused is told once the client's description does not take Mime, from where the
	// peer's Handler is called; nil for nobody. The section stays for Peer.Recode.
	Refused func()
	// Stereo sound is offered as such; on a single connection the client says by itself
	// whether it takes two channels.
	Stereo bool
	// Trailer ends the frames of an encrypted track that the node makes up, for the client
	// not to take them for its publisher's; nil for one that is not encrypted.
	Trailer []byte
	// Class ranks video when there is not enough bandwidth for all, see Subscriber.Rank.
	Class allocate.Class
	// Keep forbids to hold the video back for lack of bandwidth.
	Keep bool
	// Declared is what the publisher says that pictures take up to each spatial layer, in
	// bytes per second, 0 for those that it says nothing of; empty if it does not say which
	// layers there are.
	Declared []float64
}

// Errors that callers tell apart; others carry their context in their text.
var (
	// ErrClosed: the peer or engine is closed.
	ErrClosed = errors.New("rtc: closed")
	// ErrLimit: the client sent more than a documented bound.
	ErrLimit = sdp.ErrLimit
	// ErrRefused: the SDP or candidate is well-formed but not acceptable.
	ErrRefused = sdp.ErrRefused
	// ErrRole: the call belongs to the other role.
	ErrRole = errors.New("rtc: wrong role")
	// ErrCodec: the client cannot decode the track's codec.
	ErrCodec = errors.New("rtc: codec not supported by the client")
	// ErrSlowReader: the client left more than maxReliableBacklog bytes unread.
	ErrSlowReader = errors.New("rtc: reliable channel backlog over its bound")
	// ErrLost: ICE or DTLS failed.
	ErrLost = errors.New("rtc: transport lost")
)

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrRefused}, args...)...)
}

func limit(what string, got, most int) error {
	return fmt.Errorf("%w: %s: %d of at most %d", ErrLimit, what, got, most)
}
