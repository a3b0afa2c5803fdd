package room

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// maxDataPacket is LiveKit's bound on one data packet; SCTP messages above it are
// refused by browsers anyway.
const maxDataPacket = 64000

// maxDestinations bounds whom one packet names: whoever means more means everyone.
const maxDestinations = 1000

// Why a client's data packet goes no further.
var (
	errDataSize      = errors.New("room: data packet over 64,000 bytes or 1,000 destinations")
	errDataMalformed = errors.New("room: malformed data packet")
	errDataForbidden = errors.New("room: data packet not for clients to send")
	errDataNobody    = errors.New("room: data packet for nobody here")
	errDataResent    = errors.New("room: data packet sent before")
)

// Fields of livekit.DataPacket and livekit.UserPacket that the node reads or writes.
const (
	dataKind         protowire.Number = 1
	dataUser         protowire.Number = 2
	dataSpeaker      protowire.Number = 3
	dataIdentity     protowire.Number = 4
	dataDestinations protowire.Number = 5
	dataDTMF         protowire.Number = 6
	dataTranscript   protowire.Number = 7
	dataMetrics      protowire.Number = 8
	dataTrailer      protowire.Number = 15 // the last of the values in a row
	dataSequence     protowire.Number = 16
	dataSid          protowire.Number = 17
	dataEncrypted    protowire.Number = 18

	userSid          protowire.Number = 1
	userDestSids     protowire.Number = 3
	userIdentity     protowire.Number = 5
	userDestinations protowire.Number = 6
)

// stamped is a client's data packet as it goes to the others.
type stamped struct {
	packet   []byte
	sequence uint32 // of a reliable packet
	metrics  bool
	// addressed packets are for the identities and sids listed, the others for everyone.
	addressed        bool
	identities, sids []string
}

// sender is who a packet is from, as its node knows.
type sender struct {
	identity, sid string
	hidden        bool // its packets do not say whom they are from
	agent         bool // it may speak for others
}

// stamp reads a client's data packet and writes what the node alone may say into it:
// sender, and kind by the channel it came on. The rest stays byte for byte, fields of
// newer clients included.
func stamp(raw []byte, from sender, reliable bool) (*stamped, error) {
	if len(raw) > maxDataPacket {
		return nil, errDataSize
	}
	// Whoever receives the packet must be able to decode it.
	if proto.Unmarshal(raw, new(livekit.DataPacket)) != nil {
		return nil, errDataMalformed
	}
	s := new(stamped)
	out := make([]byte, 0, len(raw)+4*(len(from.identity)+len(from.sid))+16)
	named := ""
	values := 0
	err := eachField(raw, packetShape, func(num protowire.Number, field, value []byte, n uint64) error {
		switch {
		case num == dataKind, num == dataSid:
		case num == dataIdentity:
			named = string(value)
		case num == dataDestinations:
			s.addressed = true
			s.identities = append(s.identities, string(value))
			out = append(out, field...)
		case num == dataSequence:
			s.sequence = uint32(n)
		case isValue(num):
			if values++; values > 1 {
				return errDataMalformed // what it is would depend on who reads it
			}
			if num == dataSpeaker || num == dataTranscript && !from.agent {
				return errDataForbidden
			}
			s.metrics = num == dataMetrics
			if num == dataUser {
				var err error
				out, err = s.stampUser(out, value, from)
				return err
			}
			out = append(out, field...)
		default:
			out = append(out, field...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(s.identities)+len(s.sids) > maxDestinations {
		return nil, errDataSize
	}
	if !reliable {
		s.sequence = 0
		out = appendVarint(out, dataKind, uint64(livekit.DataPacket_LOSSY))
	}
	identity := from.identity
	if from.agent && named != "" {
		identity = named
	}
	if !from.hidden {
		out = appendText(out, dataIdentity, identity)
		out = appendText(out, dataSid, from.sid)
	}
	if s.sequence != 0 {
		out = appendVarint(out, dataSequence, uint64(s.sequence))
	}
	s.packet = out
	return s, nil
}

// stampUser appends a user packet with its sender, for clients that read it there, and
// reads where older clients address it to.
func (s *stamped) stampUser(out, user []byte, from sender) ([]byte, error) {
	inner := make([]byte, 0, len(user)+len(from.identity)+len(from.sid)+8)
	err := eachField(user, userShape, func(num protowire.Number, field, value []byte, _ uint64) error {
		switch num {
		case userSid, userIdentity:
		case userDestSids:
			s.addressed = true
			s.sids = append(s.sids, string(value))
		case userDestinations:
			s.addressed = true
			s.identities = append(s.identities, string(value))
		default:
			inner = append(inner, field...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !from.hidden {
		inner = appendText(inner, userSid, from.sid)
		inner = appendText(inner, userIdentity, from.identity)
	}
	out = protowire.AppendTag(out, dataUser, protowire.BytesType)
	return protowire.AppendBytes(out, inner), nil
}

// isValue reports whether a field is one of the packet's oneof.
func isValue(num protowire.Number) bool {
	return num == dataUser || num == dataSpeaker || num >= dataDTMF && num <= dataTrailer || num == dataEncrypted
}

// shape says which fields of a message are bytes and which are varints, as bit sets; the
// rest is unknown here and may be anything.
type shape struct{ bytes, varints uint32 }

var (
	packetShape = shape{bytes: (1<<19 - 1) &^ (1 | 1<<dataKind | 1<<dataSequence), varints: 1<<dataKind | 1<<dataSequence}
	userShape   = shape{bytes: 1<<1 | 1<<2 | 1<<3 | 1<<5 | 1<<6 | 1<<8 | 1<<11, varints: 1<<9 | 1<<10}
)

func (s shape) allows(num protowire.Number, typ protowire.Type) bool {
	if num >= 32 {
		return true
	}
	bit := uint32(1) << num
	return (s.bytes&bit == 0 || typ == protowire.BytesType) && (s.varints&bit == 0 || typ == protowire.VarintType)
}

// eachField calls f for every field of a message: whole, and its value, bytes or number.
func eachField(b []byte, s shape, f func(num protowire.Number, field, value []byte, n uint64) error) error {
	for len(b) > 0 {
		num, typ, head := protowire.ConsumeTag(b)
		if head < 0 || !s.allows(num, typ) {
			return errDataMalformed
		}
		body := protowire.ConsumeFieldValue(num, typ, b[head:])
		if body < 0 {
			return errDataMalformed
		}
		var value []byte
		var n uint64
		switch typ {
		case protowire.BytesType:
			value, _ = protowire.ConsumeBytes(b[head:])
		case protowire.VarintType:
			n, _ = protowire.ConsumeVarint(b[head:])
		}
		if err := f(num, b[:head+body], value, n); err != nil {
			return err
		}
		b = b[head+body:]
	}
	return nil
}

func appendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func appendVarint(b []byte, num protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
}
