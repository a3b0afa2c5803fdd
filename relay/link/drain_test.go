package link

import (
	"testing"
	"testing/synctest"
	"time"

	"maille/relay"
	"maille/relay/track"
)

// While packets take long to go on, many more come than QUIC keeps: none is lost for it.
func TestDrainedWhilePacketsTakeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := func(c *Config) { c.Lanes, c.MaxLanes = 1, 1 }
		p := newPair(t, conditions{delay: ms}, one)
		defer p.stop()
		sa, sb := p.sessions(t)
		origin, here := track.New("TR_v", relay.Video, ""), track.New("TR_v", relay.Video, "")
		p.a.mu.Lock()
		p.a.tracks["TR_v"] = origin
		p.a.mu.Unlock()
		gate, came, slow := make(chan struct{}), 0, false
		here.Attach(sinkFunc(func(*relay.Packet) {
			if slow {
				<-gate
			}
			came++
		}), relay.AllLayers)
		sb.Pull(TrackRef{Room: "r", ID: "TR_v"}, here)
		settle(time.Second)
		seq := uint16(0)
		push := func(n int) {
			for range n {
				seq++
				origin.Push(fill(seq, 1000))
			}
		}
		for range 15 { // so that the window lets more than QUIC keeps be under way
			push(100)
			settle(100 * ms)
		}
		slow = true
		for range 12 { // one goes on while twenty come
			push(20)
			settle(2 * ms)
			gate <- struct{}{}
		}
		settle(10 * ms)
		close(gate)
		settle(time.Second)
		if st := sa.Stats(); came != int(seq) || st.Answered > 0 || st.Lost > 0 {
			t.Errorf("%d of %d came, %d datagrams lost, %d packets sent again; drops %v, cap %v", came, seq, st.Lost, st.Answered, st.Drops, st.Cap)
		}
		if n := sb.held.Load(); n != 0 {
			t.Errorf("%d datagrams held in the end", n)
		}
		origin.Close()
		here.Close()
	})
}
