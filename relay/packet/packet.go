// Package packet reads and writes the RTP header (RFC 3550) and its header
// extensions (RFC 8285, one- and two-byte forms). Every packet is parsed once, where
// it enters the mesh, by a strict parser that looks at nothing outside the datagram;
// the node that faces a subscriber writes a new header around the same payload.
// Neither allocates.
package packet

import (
	"encoding/binary"

	"maille/relay"
)

// Malformed is the error of a packet that is not RTP as we accept it. Such packets
// are dropped and counted as relay.DropMalformed.
type Malformed string

func (m Malformed) Error() string { return string(m) }

// What Parse refuses.
const (
	ErrShort     = Malformed("rtp: shorter than its header says")
	ErrVersion   = Malformed("rtp: version is not 2")
	ErrExtension = Malformed("rtp: header extension beyond its bounds")
	ErrTwice     = Malformed("rtp: header extension present twice")
	ErrPadding   = Malformed("rtp: padding length zero or beyond the payload")
)

// ExtMap holds the header extension ids negotiated in SDP (extmap lines) for one
// media section; 0 means not negotiated.
type ExtMap struct {
	AudioLevel  uint8 // RFC 6464
	Descriptor  uint8 // AV1 RTP spec, dependency descriptor
	CaptureTime uint8 // abs-capture-time

	// Hop-local ones, never read here: a link carries none of them.
	Mid          uint8
	TransportCC  uint8
	AbsSendTime  uint8
	PlayoutDelay uint8
}

const (
	fixedHeader = 12

	profileOneByte = 0xBEDE
	profileTwoByte = 0x1000 // the low 4 bits are free ("appbits")

	// stopID in the one-byte form ends the extension (RFC 8285 section 4.2).
	stopID = 15
)

// Parse reads the RTP packet in p.Buffer()[:n]. It fills the header numbers, the end
// to end extensions that ids knows, and Payload without padding; the layers and frame
// flags are for package codec, Arrived for the caller. A packet of padding only gets
// an empty payload. The error is a Malformed; p's fields are then undefined.
func Parse(p *relay.Packet, n int, ids ExtMap) error {
	if n < fixedHeader || n > relay.BufferSize {
		return ErrShort
	}
	b := p.Buffer()[:n:n]
	if b[0]>>6 != 2 {
		return ErrVersion
	}
	p.Marker = b[1]&0x80 != 0
	p.PayloadType = b[1] & 0x7f
	p.Seq = binary.BigEndian.Uint16(b[2:])
	p.Timestamp = binary.BigEndian.Uint32(b[4:])
	p.SSRC = binary.BigEndian.Uint32(b[8:])
	p.Level, p.Voice, p.HasLevel = 0, false, false
	p.Descriptor, p.CaptureTime = nil, nil

	rest, ok := cut(b[fixedHeader:], 4*int(b[0]&0x0f)) // contributing sources, unused
	if !ok {
		return ErrShort
	}
	if b[0]&0x10 != 0 {
		var err error
		if rest, err = extensions(p, rest, ids); err != nil {
			return err
		}
	}
	if b[0]&0x20 != 0 {
		if len(rest) == 0 {
			return ErrPadding
		}
		pad := int(rest[len(rest)-1])
		if pad == 0 || pad > len(rest) {
			return ErrPadding
		}
		rest = rest[:len(rest)-pad]
	}
	p.Payload = rest[:len(rest):len(rest)]
	return nil
}

// cut returns b without its first n bytes.
func cut(b []byte, n int) ([]byte, bool) {
	if n > len(b) {
		return nil, false
	}
	return b[n:], true
}

// extensions reads the extension block at the start of b and returns what follows.
func extensions(p *relay.Packet, b []byte, ids ExtMap) ([]byte, error) {
	if len(b) < 4 {
		return nil, ErrShort
	}
	profile := binary.BigEndian.Uint16(b)
	block := b[4:]
	rest, ok := cut(block, 4*int(binary.BigEndian.Uint16(b[2:])))
	if !ok {
		return nil, ErrExtension
	}
	block = block[:len(block)-len(rest)]
	switch {
	case profile == profileOneByte:
		return rest, elements(p, block, ids, false)
	case profile&0xfff0 == profileTwoByte:
		return rest, elements(p, block, ids, true)
	}
	return rest, nil // another profile's, not for us (RFC 3550 section 5.3.1)
}

func elements(p *relay.Packet, b []byte, ids ExtMap, two bool) error {
	for len(b) > 0 {
		if b[0] == 0 {
			b = b[1:] // padding between elements
			continue
		}
		id, length, head := b[0]>>4, int(b[0]&0x0f)+1, 1
		if two {
			if len(b) < 2 {
				return ErrExtension
			}
			id, length, head = b[0], int(b[1]), 2
		} else if id == stopID {
			return nil
		}
		if head+length > len(b) {
			return ErrExtension
		}
		if err := element(p, id, b[head:head+length:head+length], ids); err != nil {
			return err
		}
		b = b[head+length:]
	}
	return nil
}

// element takes one extension element. A known one that comes twice is refused: two
// readers could disagree on which counts.
func element(p *relay.Packet, id uint8, body []byte, ids ExtMap) error {
	switch {
	case id == 0: // one-byte form with a length: RFC 8285 leaves it undefined
		return ErrExtension
	case id == ids.AudioLevel:
		if p.HasLevel {
			return ErrTwice
		}
		if len(body) < 1 {
			return ErrExtension
		}
		p.Level, p.Voice, p.HasLevel = body[0]&0x7f, body[0]&0x80 != 0, true
	case id == ids.Descriptor:
		if p.Descriptor != nil {
			return ErrTwice
		}
		p.Descriptor = body
	case id == ids.CaptureTime:
		if p.CaptureTime != nil {
			return ErrTwice
		}
		// With or without the estimated clock offset; another length is another version.
		if len(body) == 8 || len(body) == 16 {
			p.CaptureTime = body
		}
	}
	return nil
}
