package bwe

// Remb takes a client's own estimate of its path (draft-alvestrand-rmcat-remb), while
// rate is sent, both in bytes per second. It counts for a Blind client only.
func (s *Sender) Remb(now int64, estimate, rate float64) {
	if s.blind != nil && !s.estimate.ready {
		s.blind.remb(now, estimate, rate)
	}
}
