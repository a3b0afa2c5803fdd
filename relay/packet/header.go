package packet

import "encoding/binary"

// MaxHeader bounds what AppendHeader writes, with every extension at its longest.
// Real headers are below 60 bytes.
const MaxHeader = fixedHeader + 4 + 3*(2+255) + (2 + 1) + (2 + 2) + 2*(2+3) + 3

// Header is an outgoing RTP header with its extensions. An extension is written
// when its id is negotiated and it has a value: Level when HasLevel, the byte and
// string ones when not empty (at most 255 bytes), the last three always.
type Header struct {
	PayloadType uint8 // 7 bits
	Marker      bool
	Seq         uint16
	Timestamp   uint32
	SSRC        uint32

	Level       uint8 // -dBov, RFC 6464
	Voice       bool
	HasLevel    bool
	Descriptor  []byte
	CaptureTime []byte
	Mid         string

	TransportCC  uint16 // transport-wide sequence number
	AbsSendTime  uint32 // 6.18 fixed point seconds, 24 bits
	PlayoutDelay uint32 // minimum and maximum, 12 bits each, in 10 ms
}

// AppendHeader appends h to dst. Within dst's capacity it allocates nothing. The
// one-byte form is used unless an id above 14 or a body above 16 bytes needs the
// two-byte form (RFC 8285 section 4.1.2).
func AppendHeader(dst []byte, h *Header, ids *ExtMap) []byte {
	start := len(dst)
	dst = append(dst, 2<<6, h.PayloadType&0x7f)
	if h.Marker {
		dst[start+1] |= 0x80
	}
	dst = binary.BigEndian.AppendUint16(dst, h.Seq)
	dst = binary.BigEndian.AppendUint32(dst, h.Timestamp)
	dst = binary.BigEndian.AppendUint32(dst, h.SSRC)

	block := len(dst)
	w := writer{b: append(dst, 0, 0, 0, 0), two: needsTwoBytes(h, ids)}
	w.extensions(h, ids)
	if len(w.b) == block+4 {
		return w.b[:block]
	}
	for (len(w.b)-block)%4 != 0 {
		w.b = append(w.b, 0)
	}
	w.b[start] |= 0x10
	profile := uint16(profileOneByte)
	if w.two {
		profile = profileTwoByte
	}
	binary.BigEndian.PutUint16(w.b[block:], profile)
	binary.BigEndian.PutUint16(w.b[block+2:], uint16((len(w.b)-block-4)/4))
	return w.b
}

func needsTwoBytes(h *Header, ids *ExtMap) bool {
	highest := max(ids.AudioLevel, ids.Descriptor, ids.CaptureTime, ids.Mid,
		ids.TransportCC, ids.AbsSendTime, ids.PlayoutDelay)
	return highest >= stopID ||
		ids.Descriptor != 0 && len(h.Descriptor) > 16 ||
		ids.CaptureTime != 0 && len(h.CaptureTime) > 16 ||
		ids.Mid != 0 && len(h.Mid) > 16
}

type writer struct {
	b   []byte
	two bool
}

func (w *writer) extensions(h *Header, ids *ExtMap) {
	if ids.AudioLevel != 0 && h.HasLevel {
		level := h.Level & 0x7f
		if h.Voice {
			level |= 0x80
		}
		w.head(ids.AudioLevel, 1)
		w.b = append(w.b, level)
	}
	w.bytes(ids.Descriptor, h.Descriptor)
	w.bytes(ids.CaptureTime, h.CaptureTime)
	if n := len(h.Mid); ids.Mid != 0 && n > 0 && n <= 255 {
		w.head(ids.Mid, n)
		w.b = append(w.b, h.Mid...)
	}
	if ids.TransportCC != 0 {
		w.head(ids.TransportCC, 2)
		w.b = binary.BigEndian.AppendUint16(w.b, h.TransportCC)
	}
	w.uint24(ids.AbsSendTime, h.AbsSendTime)
	w.uint24(ids.PlayoutDelay, h.PlayoutDelay)
}

func (w *writer) head(id uint8, n int) {
	if w.two {
		w.b = append(w.b, id, uint8(n))
		return
	}
	w.b = append(w.b, id<<4|uint8(n-1))
}

func (w *writer) bytes(id uint8, body []byte) {
	if id == 0 || len(body) == 0 || len(body) > 255 {
		return
	}
	w.head(id, len(body))
	w.b = append(w.b, body...)
}

func (w *writer) uint24(id uint8, v uint32) {
	if id == 0 {
		return
	}
	w.head(id, 3)
	w.b = append(w.b, uint8(v>>16), uint8(v>>8), uint8(v))
}
