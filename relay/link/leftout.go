package link

// leftWindow bounds how many packets in a row are known as left out: a keyframe's upper
// layer in full packets.
const leftWindow = 512

// leftOut remembers which numbers of an encoding do not go on this link on purpose:
// layers that the peer does not want, or that are shed.
type leftOut struct {
	slots [leftWindow]struct {
		seq, run uint16 // run counts seq and what was left out right before it, 0 for none
	}
}

// add notes that seq does not go, and with it what upstream left out right before.
func (l *leftOut) add(seq, omitted uint16) {
	s := &l.slots[seq%leftWindow]
	s.seq, s.run = seq, 1+max(omitted, l.before(seq))
}

// before counts what was left out right before seq.
func (l *leftOut) before(seq uint16) uint16 {
	if s := l.slots[(seq-1)%leftWindow]; s.seq == seq-1 {
		return s.run
	}
	return 0
}
