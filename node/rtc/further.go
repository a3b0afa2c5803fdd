package rtc

import (
	"fmt"

	"maille/node/rtc/missing"
	"maille/relay"
	"maille/relay/track"
)

// Further is a codec that a client may send of a track besides the first one (a backup
// codec). Its relay track is there before the client sends it, so that nodes can ask
// for it, and after it stopped: the owner closes it.
type Further struct{ pub *publication }

// Further makes the client the source of t, a further codec of the track sid. What
// is wanted of t is told through Handler.Demand at once; nothing comes before an Expect
// that names it is met. t keeps its source until the owner closes it.
func (p *Peer) Further(sid relay.TrackID, t *track.Track) *Further {
	f := &Further{pub: &publication{peer: p, sid: sid, track: t, further: true}}
	t.SetSource(f.pub)
	return f
}

// Recode goes on with another codec of a track in the section that it has, for a client
// that refused the first (Down.Refused) or when the publisher sends it no more. The
// codec must be one that every section offers. The error is ErrCodec when the client
// refused that one too, or has not answered yet.
func (p *Peer) Recode(sid relay.TrackID, mime string, t *track.Track) error {
	p.mu.Lock()
	s := p.down.subs[sid]
	p.mu.Unlock()
	if s == nil {
		return fmt.Errorf("%w: %s is not subscribed", ErrRefused, sid)
	}
	old := s.bound.Load()
	if old == nil || !isCommon(mime) {
		return fmt.Errorf("%w: %s", ErrCodec, mime)
	}
	b := *old
	if b.choose(mime); !b.usable {
		return fmt.Errorf("%w: %s", ErrCodec, mime)
	}
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return nil
	}
	tap := s.tap
	s.tap, s.started, s.track = nil, false, t
	s.out.recode(mime, p.engine.now())
	s.pending, s.settled = missing.Pending{}, missing.Settled{}
	s.bound.Store(&b)
	s.mu.Unlock()
	if tap != nil {
		tap.Detach()
	}
	s.start()
	return nil
}
