package rtc

import "maille/relay"

// forwarder: placeholder until relay/layer and relay/rewrite are there.
type forwarder struct {
	rate       uint32
	maxS, maxT uint8
	paused     bool
}

func (f *forwarder) init(d Down) {
	f.rate = 90000
	if d.Kind == relay.Audio {
		f.rate = 48000
	}
	f.maxS, f.maxT, f.paused = d.MaxSpatial, d.MaxTemporal, d.Paused
}
func (f *forwarder) wants(live relay.LayerSet) relay.LayerSet {
	if f.paused {
		return 0
	}
	return relay.UpTo(f.maxS, f.maxT)
}
func (f *forwarder) awaiting() uint8                             { return f.maxS }
func (f *forwarder) switching() bool                             { return true }
func (f *forwarder) limit(s, t uint8)                            { f.maxS, f.maxT = s, t }
func (f *forwarder) pause(p bool)                                { f.paused = p }
func (f *forwarder) encoding() (uint8, bool)                     { return f.maxS, true }
func (f *forwarder) timestamp(e uint8, ts uint32) (uint32, bool) { return ts, true }

// Push is called by the track.
func (s *Subscriber) Push(p *relay.Packet) {}

// Clock is called by the track.
func (s *Subscriber) Clock(relay.Clock)               {}
func (s *Subscriber) answer(now int64, seqs []uint16) {}
