package codec

import mathbits "math/bits"

// bits reads a bit string, most significant first, and notes when there were too
// few; what is missing reads as 0.
type bits struct {
	b     []byte
	at    int // in bits
	short bool
}

func (r *bits) get(n int) (v uint32) {
	if r.at+n > 8*len(r.b) {
		r.short, r.at = true, 8*len(r.b)
		return 0
	}
	for range n {
		v = v<<1 | uint32(r.b[r.at/8]>>(7-r.at%8)&1)
		r.at++
	}
	return v
}

func (r *bits) flag() bool { return r.get(1) != 0 }

// nonSymmetric reads a value below n in as few bits as it takes (ns(n) of the AV1
// bitstream spec, section 4.10.7).
func (r *bits) nonSymmetric(n uint32) uint32 {
	w := mathbits.Len32(n)
	spare := uint32(1)<<w - n
	v := r.get(w - 1)
	if v < spare {
		return v
	}
	return v<<1 - spare + r.get(1)
}
