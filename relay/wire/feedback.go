package wire

import "encoding/binary"

// Tick is the unit of times in reports, in nanoseconds: fine enough for delays, and
// its u32 wraps after 38 hours.
const Tick = 32_000

// MaxReport bounds the datagrams that one report covers.
const MaxReport = 512

// MaxFeedback bounds reports and requests, so that they pass where full datagrams do not.
const MaxFeedback = 1000

// Arrival is one entry of a report.
type Arrival struct {
	Got bool
	// At is the receiver's clock in ticks, when Got.
	At uint32
}

// AppendReport encodes the arrivals of consecutive link sequence numbers from base, and
// the running count of those that came too late for any report.
// At most MaxReport entries, and no more than fit, are written; it returns how many.
//
//	type u8, base u16, count u16, late u16, first arrival u32, then for each: 0 when missing,
//	else 1 + zigzag of the difference to the arrival before it, as a varint
func AppendReport(b []byte, base, late uint16, arrivals []Arrival) (out []byte, n int) {
	start := len(b)
	b = append(b, byte(TypeReport), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	h := b[start:]
	binary.BigEndian.PutUint16(h[1:], base)
	binary.BigEndian.PutUint16(h[5:], late)
	var ref uint32
	seen := false
	for _, a := range arrivals {
		if n == MaxReport || len(b)-start > MaxFeedback-binary.MaxVarintLen64 {
			break
		}
		n++
		if !a.Got {
			b = append(b, 0)
			continue
		}
		if !seen {
			seen, ref = true, a.At
			binary.BigEndian.PutUint32(b[start+7:], ref)
		}
		d := int32(a.At - ref)
		b = binary.AppendUvarint(b, 1+uint64(uint32(d<<1^d>>31)))
		ref = a.At
	}
	binary.BigEndian.PutUint16(b[start+3:], uint16(n))
	return b, n
}

// ParseReport decodes a report into dst[:0], which is returned grown.
func ParseReport(b []byte, dst []Arrival) (base, late uint16, arrivals []Arrival, err error) {
	dst = dst[:0]
	if len(b) < reportHeader {
		return 0, 0, dst, ErrShort
	}
	base = binary.BigEndian.Uint16(b[1:])
	count := int(binary.BigEndian.Uint16(b[3:]))
	late = binary.BigEndian.Uint16(b[5:])
	ref := binary.BigEndian.Uint32(b[7:])
	if count > MaxReport {
		return 0, 0, dst, ErrInvalid
	}
	b = b[reportHeader:]
	for range count {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			return 0, 0, dst, ErrShort
		}
		b = b[n:]
		if v == 0 {
			dst = append(dst, Arrival{})
			continue
		}
		if v > 1<<32 {
			return 0, 0, dst, ErrInvalid
		}
		u := uint32(v - 1)
		ref += u>>1 ^ -(u & 1)
		dst = append(dst, Arrival{Got: true, At: ref})
	}
	return base, late, dst, nil
}

const reportHeader = 11

// Gap asks for packets of one stream and encoding, as far as they were sent: bit i of
// Mask stands for the origin sequence number From+i.
type Gap struct {
	Handle   uint16
	Encoding uint8
	From     uint16
	Mask     uint32
}

const gapSize = 9

// MaxGaps is what one request holds.
const MaxGaps = (MaxFeedback - 1) / gapSize

// AppendAsk encodes at most MaxGaps gaps.
func AppendAsk(b []byte, gaps []Gap) []byte {
	b = append(b, byte(TypeAsk))
	for _, g := range gaps[:min(len(gaps), MaxGaps)] {
		b = binary.BigEndian.AppendUint16(b, g.Handle)
		b = append(b, g.Encoding)
		b = binary.BigEndian.AppendUint16(b, g.From)
		b = binary.BigEndian.AppendUint32(b, g.Mask)
	}
	return b
}

// ParseAsk decodes a request into dst[:0], which is returned grown.
func ParseAsk(b []byte, dst []Gap) ([]Gap, error) {
	dst = dst[:0]
	if len(b) < 1 || (len(b)-1)%gapSize != 0 {
		return dst, ErrShort
	}
	if len(b) > 1+MaxGaps*gapSize {
		return dst, ErrInvalid
	}
	for b = b[1:]; len(b) > 0; b = b[gapSize:] {
		dst = append(dst, Gap{
			Handle: binary.BigEndian.Uint16(b), Encoding: b[2],
			From: binary.BigEndian.Uint16(b[3:]), Mask: binary.BigEndian.Uint32(b[5:]),
		})
	}
	return dst, nil
}

// AppendProbe encodes a probe or its echo; the id comes back unchanged.
func AppendProbe(b []byte, t Type, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(t)), id)
}

// ParseProbe returns the id of a probe or an echo.
func ParseProbe(b []byte) (id uint32, err error) {
	if len(b) != 5 {
		return 0, ErrShort
	}
	return binary.BigEndian.Uint32(b[1:]), nil
}
