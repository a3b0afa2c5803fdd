package rtc

import (
	"time"

	"maille/relay"
)

const (
	// playoutUnit is what the header extension counts in.
	playoutUnit = 10 * time.Millisecond
	// MaxPlayout is the longest delay that the extension's 12 bits can say.
	MaxPlayout = 0xfff * playoutUnit
)

// Playout bounds how long a client holds video back before it shows it, for a smooth
// picture (the playout-delay header extension). The zero value leaves it to the client.
// Parts of 10 ms count as whole, beyond MaxPlayout is MaxPlayout, and a Max below Min is
// none.
type Playout struct{ Min, Max time.Duration }

// bytes are the extension's body for a kind of media; nil for none.
func (p Playout) bytes(k relay.Kind) []byte {
	if p == (Playout{}) || k != relay.Video {
		return nil
	}
	units := func(d time.Duration) uint32 {
		return uint32((min(max(d, 0), MaxPlayout) + playoutUnit - 1) / playoutUnit)
	}
	least, most := units(p.Min), units(p.Max)
	if most < least {
		most = units(MaxPlayout)
	}
	v := least<<12 | most
	return []byte{byte(v >> 16), byte(v >> 8), byte(v)}
}

// told ends the extension when the client reports a packet that had it: it keeps what
// it was told once. Some clients report before anything came, with number 0.
func (s *Subscriber) told(h *Heard) {
	if s.peer.playout == (Playout{}) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if h.Highest != 0 && s.sent.Load() > 0 && uint16(h.Highest)-s.begun <= s.newest-s.begun {
		s.writer.delay = nil
	}
}
