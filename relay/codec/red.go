package codec

// Primary returns the newest block of a RED payload and its payload type, for
// subscribers that take no redundancy (RFC 2198 section 3). The block aliases b; it is
// false when the payload is cut short.
func Primary(b []byte) (payloadType uint8, block []byte, ok bool) {
	older := 0 // bytes of the redundant blocks, which come first
	for len(b) >= 4 && b[0]&0x80 != 0 {
		older += int(b[2]&0x03)<<8 | int(b[3])
		b = b[4:]
	}
	if len(b) < 1 || b[0]&0x80 != 0 || older > len(b)-1 {
		return 0, nil, false
	}
	return b[0] & 0x7f, b[1+older:], true
}

// REDOf reports whether all blocks of a RED payload are of one payload type: a
// receiver that numbers it otherwise could not read them.
func REDOf(b []byte, payloadType uint8) bool {
	for len(b) >= 4 && b[0]&0x80 != 0 {
		if b[0]&0x7f != payloadType {
			return false
		}
		b = b[4:]
	}
	return len(b) > 0 && b[0] == payloadType
}
