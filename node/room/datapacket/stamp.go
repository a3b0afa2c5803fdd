package datapacket

import (
	"errors"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// MaxBytes is LiveKit's bound on one data packet; SCTP messages above it are
// refused by browsers anyway.
const MaxBytes = 64000

// maxDestinations bounds whom one packet names: whoever means more means everyone.
const maxDestinations = 1000

// Why a client's packet goes no further.
var (
	ErrSize      = errors.New("datapacket: over 64,000 bytes or 1,000 destinations")
	ErrMalformed = errors.New("datapacket: malformed")
	ErrForbidden = errors.New("datapacket: not for clients to send")
)

// Stamped is a client's data packet as it goes to the others.
type Stamped struct {
	Packet   []byte // as everyone may get it
	Sequence uint32 // of a reliable packet; 0 for none
	Metrics  bool   // for those only who may see metrics
	// Addressed packets are for the identities and sids listed, the others for everyone.
	Addressed        bool
	Identities, Sids []string
}

// Sender is who a packet is from, as its node knows.
type Sender struct {
	Identity, Sid string
	Hidden        bool // its packets do not say whom they are from
	Agent         bool // it may speak for others
}

// Stamp reads a client's data packet and writes what the node alone may say into it:
// sender, and kind by the channel it came on. The rest stays byte for byte, fields of
// newer clients included. The errors are those of this package.
func Stamp(raw []byte, from Sender, reliable bool) (*Stamped, error) {
	if len(raw) > MaxBytes {
		return nil, ErrSize
	}
	// Whoever receives the packet must be able to decode it.
	if proto.Unmarshal(raw, new(livekit.DataPacket)) != nil {
		return nil, ErrMalformed
	}
	s := new(Stamped)
	out := make([]byte, 0, len(raw)+4*(len(from.Identity)+len(from.Sid))+16)
	named := ""
	values := 0
	err := eachField(raw, packetShape, func(num protowire.Number, field, value []byte, n uint64) error {
		switch {
		case num == dataKind, num == dataSid:
		case num == dataIdentity:
			named = string(value)
		case num == dataDestinations:
			s.Addressed = true
			s.Identities = append(s.Identities, string(value))
			out = append(out, field...)
		case num == dataSequence:
			s.Sequence = uint32(n)
		case isValue(num):
			if values++; values > 1 {
				return ErrMalformed // what it is would depend on who reads it
			}
			if num == dataSpeaker || num == dataTranscript && !from.Agent {
				return ErrForbidden
			}
			s.Metrics = num == dataMetrics
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
	if len(s.Identities)+len(s.Sids) > maxDestinations {
		return nil, ErrSize
	}
	if !reliable {
		s.Sequence = 0
		out = appendVarint(out, dataKind, uint64(livekit.DataPacket_LOSSY))
	}
	identity := from.Identity
	if from.Agent && named != "" {
		identity = named
	}
	if !from.Hidden {
		out = appendText(out, dataIdentity, identity)
		out = appendText(out, dataSid, from.Sid)
	}
	if s.Sequence != 0 {
		out = appendVarint(out, dataSequence, uint64(s.Sequence))
	}
	s.Packet = out
	return s, nil
}

// stampUser appends a user packet with its sender, for clients that read it there, and
// reads where older clients address it to.
func (s *Stamped) stampUser(out, user []byte, from Sender) ([]byte, error) {
	inner := make([]byte, 0, len(user)+len(from.Identity)+len(from.Sid)+8)
	err := eachField(user, userShape, func(num protowire.Number, field, value []byte, _ uint64) error {
		switch num {
		case userSid, userIdentity:
		case userDestSids:
			s.Addressed = true
			s.Sids = append(s.Sids, string(value))
		case userDestinations:
			s.Addressed = true
			s.Identities = append(s.Identities, string(value))
		default:
			inner = append(inner, field...)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !from.Hidden {
		inner = appendText(inner, userSid, from.Sid)
		inner = appendText(inner, userIdentity, from.Identity)
	}
	out = protowire.AppendTag(out, dataUser, protowire.BytesType)
	return protowire.AppendBytes(out, inner), nil
}
