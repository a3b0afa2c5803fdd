package datapacket

import "google.golang.org/protobuf/encoding/protowire"

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
			return ErrMalformed
		}
		body := protowire.ConsumeFieldValue(num, typ, b[head:])
		if body < 0 {
			return ErrMalformed
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
