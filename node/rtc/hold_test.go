package rtc

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"maille/relay"
)

// holding is a client that is sent one more track than it saw first, while its camera runs.
type holding struct {
	*duplexPair
	mu   sync.Mutex // guards all below
	came map[string][]rtp.Packet
}

func (w *world) holding() *holding {
	w.t.Helper()
	h := &holding{duplexPair: w.duplex(func(o *Options) { o.Hold = true }), came: make(map[string][]rtp.Packet)}
	h.pc.OnTrack(func(tr *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			p, _, err := tr.ReadRTP()
			if err != nil {
				return
			}
			h.mu.Lock()
			h.came[tr.ID()] = append(h.came[tr.ID()], *p)
			h.mu.Unlock()
		}
	})
	return h
}

func (h *holding) got(sid string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.came[sid])
}

// sent counts what left for the client of a track, whether it took it or not.
func (h *holding) sent(sid relay.TrackID) uint64 {
	h.peer.mu.Lock()
	s := h.peer.down.subs[sid]
	h.peer.mu.Unlock()
	return s.sent.Load() + s.resent.Load()
}

// Nothing is sent in a section before its client was told of it and had time to listen;
// then it begins with a keyframe. What the client saw before goes on, and what its first
// answer names waits for nothing.
func TestHoldUntilTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		h := w.holding()
		defer h.pc.GracefulClose()
		first := h.subscribe("TR_A", relay.Video, webrtc.MimeTypeVP8)
		h.negotiate()
		w.wait("connected", func() bool { return h.last() == Connected })
		far := &camera{now: w.now}
		stop := every(10*time.Millisecond, func() { first.Push(far.next()) })
		defer stop()
		w.wait("the first track", func() bool { return h.got("TR_A") > 20 })

		second := h.subscribe("TR_B", relay.Video, webrtc.MimeTypeVP8)
		near := &camera{now: w.now}
		stopNear := every(10*time.Millisecond, func() {
			if near.n == 60 {
				near = &camera{now: w.now, seq: near.seq} // a keyframe
			}
			second.Push(near.next())
		})
		defer stopNear()
		w.wait("its section", func() bool { h.nego.Lock(); defer h.nego.Unlock(); return len(h.carried()) == 2 })
		before := h.got("TR_A")
		silent := func(when string, d time.Duration) {
			t.Helper()
			if tick(d); h.sent("TR_B") > 0 {
				t.Fatalf("%s: %d packets", when, h.sent("TR_B"))
			}
		}
		silent("not told", holdFor*2)
		h.peer.Told(h.peer.Exchanges() - 1)
		silent("told something else", holdFor*2)
		h.peer.Told(h.peer.Exchanges())
		silent("told", holdFor/2)
		h.peer.Away()
		silent("its socket ended", holdFor*2)
		h.peer.Told(h.peer.Exchanges())
		silent("told again", holdFor-time.Millisecond)
		w.wait("the second track", func() bool { return h.got("TR_B") > 20 })

		h.mu.Lock()
		defer h.mu.Unlock()
		if p := h.came["TR_B"][0].Payload; len(p) < 7 || p[0] != 0x90 || p[6] != 0 {
			t.Errorf("it begins with % x, want a keyframe's first packet", p)
		}
		if len(h.came["TR_A"]) <= before {
			t.Error("the first track stood still")
		}
	})
}

// A probe fills no section that the client may not know of.
func TestHoldNoPadding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		h := w.holding()
		defer h.pc.GracefulClose()
		h.negotiate()
		w.wait("connected", func() bool { return h.last() == Connected })
		h.subscribe("TR_B", relay.Video, webrtc.MimeTypeVP8)
		w.wait("its section", func() bool { h.nego.Lock(); defer h.nego.Unlock(); return len(h.carried()) == 1 })
		tick(time.Second)
		if s, later := h.peer.padder(w.now()); s != nil || !later {
			t.Errorf("padding %t, later %t, for a section that the client was not told of", s != nil, later)
		}
		h.peer.Told(h.peer.Exchanges())
		tick(holdFor)
		if s, _ := h.peer.padder(w.now()); s == nil {
			t.Error("no padding for a section that the client knows")
		}
	})
}
