package rtc

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// number sends a reliable message with the next number, and gives those who carry it the
// time that they need: not the clock's, as callers may hold locks.
func (d *downlinkPair) number(n *atomic.Int64) {
	_ = d.peer.SendData(Reliable, binary.BigEndian.AppendUint32(nil, uint32(n.Add(1)-1)))
	for range 1000 {
		runtime.Gosched()
	}
}

// reliable is the client's end of the reliable channel.
type reliable struct {
	inbox
	dc atomic.Pointer[webrtc.DataChannel]
}

func (d *downlinkPair) reliable() *reliable {
	r := new(reliable)
	d.pc.OnDataChannel(func(dc *webrtc.DataChannel) {
		if dc.Label() == "_reliable" {
			dc.OnMessage(r.take)
			r.dc.Store(dc)
		}
	})
	return r
}

func (r *reliable) reply(text string) error { return r.dc.Load().SendText(text) }

func (h *probe) heard(data string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.data, data)
}

// whole reports whether the first n numbers came, once and in order.
func (b *inbox) whole(n int) bool {
	got := b.all()
	return len(got) == n && slices.IsSorted(got) && len(slices.Compact(got)) == n
}

// While ICE restarts, the connections of before close one after the other under what is
// being sent. That is loss, as on any network, not the end of what is sent.
func TestSendingThroughARestartOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTCPWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		in := d.reliable()
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return d.last() == Connected })
		var n atomic.Int64
		number := func() { d.number(&n) }
		number()
		w.door.ended.Store(&number)
		for range 3 {
			w.check(d.peer.Restart())
			tick(2 * time.Second)
		}
		w.door.ended.Store(nil)
		if d.last() != Connected {
			t.Fatalf("the peer is %s: %v", d.last(), d.why)
		}
		if n.Load() != 4 {
			t.Fatalf("%d connections ended by three restarts", n.Load()-1)
		}
		w.wait("all that was sent", func() bool { return in.whole(int(n.Load())) })
	})
}

// A client that was not heard of for so long that its transport failed comes back by a
// restart of ICE, and has missed nothing.
func TestFailedComesBackWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTCPWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		in := d.reliable()
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return d.last() == Connected })
		var n atomic.Int64
		number := func() { d.number(&n) }
		number()
		tick(time.Second)
		w.gate.deaf.Store(true)
		w.door.ended.Store(&number)
		w.wait("failed", func() bool { return d.last() == Failed || d.last() == Closed })
		w.door.ended.Store(nil)
		w.gate.deaf.Store(false)
		tick(time.Second)
		if d.last() == Closed {
			t.Fatalf("the peer is closed: %v", d.why)
		}
		w.check(d.peer.Restart())
		w.wait("all that was sent", func() bool { return d.last() == Connected && in.whole(int(n.Load())) })
	})
}

// DTLS begins once. If it fails there is nothing to come back to, and the client must not
// be left to try.
func TestFailedHandshakeEndsThePeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTCPWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		d.onOffer = func(text string, id uint32) {
			w.check(d.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: throughGateway(text)}))
			answer, err := d.pc.CreateAnswer(nil)
			w.check(err)
			w.check(d.pc.SetLocalDescription(answer))
			head, print, _ := strings.Cut(answer.SDP, "a=fingerprint:sha-256 ")
			other := "00" + print[2:]
			if other == print {
				other = "01" + print[2:]
			}
			w.check(d.peer.SetAnswer(head+"a=fingerprint:sha-256 "+other, id))
		}
		w.check(d.peer.Negotiate())
		w.wait("the end", func() bool { return d.last() == Failed || d.last() == Closed })
		tick(time.Second)
		if d.last() != Closed || !errors.Is(d.why, ErrLost) {
			t.Errorf("the peer is %s: %v", d.last(), d.why)
		}
	})
}

// A client that has no data channels says goodbye by DTLS alone.
func TestGoodbyeWithoutData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := &uplinkPair{probe: &probe{}, w: w, pc: w.browser()}
		var err error
		u.peer, err = w.engine.NewPeer(u.probe, Options{Role: Uplink, Name: "client"})
		w.check(err)
		u.audio("mic")
		u.negotiate()
		w.wait("connected", func() bool {
			return u.last() == Connected && u.pc.ConnectionState() == webrtc.PeerConnectionStateConnected
		})
		w.check(u.pc.GracefulClose())
		tick(time.Second)
		if u.last() != Closed || !errors.Is(u.why, ErrLost) {
			t.Errorf("the peer is %s: %v", u.last(), u.why)
		}
	})
}

// A client whose TCP connection ends has lost a path, not its session: it comes by another
// connection, and when ICE has chosen that, nothing was lost.
func TestPathOverTCPEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTCPWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		in := d.reliable()
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return d.last() == Connected })
		var n atomic.Int64
		stop := sync.OnceFunc(every(20*time.Millisecond, func() { d.number(&n) }))
		defer stop()
		tick(time.Second)
		before := w.gate.dialled()
		w.gate.cut()
		w.wait("another connection", func() bool { return w.gate.dialled() > before })
		w.check(in.reply("by another connection"))
		w.wait("what the client sends", func() bool { return d.heard("_reliable by another connection") })
		if s := d.last(); s == Closed {
			t.Fatalf("the peer is %s: %v", s, d.why)
		}
		w.check(d.peer.Restart())
		w.wait("all that was sent", func() bool { return d.last() == Connected && in.whole(int(n.Load())) })
	})
}

// What ICE still sends on a path that it has closed is lost, and says so by another error
// than the one that ends DTLS.
func TestSendingOnAClosedPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTCPWorld(t)
		defer w.close()
		to := &net.UDPAddr{IP: net.ParseIP(clientIP), Port: 9}
		udp, err := tappedUDP{w.engine.udp, nil}.GetConn("udp", &net.UDPAddr{IP: net.ParseIP(serverIP), Port: 7882})
		w.check(err)
		tcp, err := tappedTCP{w.engine.tcp, nil}.GetConnByUfrag("tcp", false, net.ParseIP(serverIP))
		w.check(err)
		for _, c := range []net.PacketConn{udp, tcp} {
			w.check(c.Close())
			if _, err := c.WriteTo([]byte{1}, to); err == nil || errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%T: %v", c, err)
			}
		}
		if _, err := udp.(ice.AddrPortReaderWriter).WriteToAddrPort([]byte{1}, to.AddrPort()); err == nil || errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("quick: %v", err)
		}
	})
}

// Whoever can write a datagram in a client's name cannot end its session with it.
func TestStrangersRecordsEndNothing(t *testing.T) {
	for name, rec := range map[string][]byte{
		"close_notify":      {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 1, 0},
		"fatal alert":       {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 2, 40},
		"half an alert":     {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2},
		"no change":         {20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 7},
		"change again":      {20, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1},
		"no handshake":      {22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 7},
		"data in clear":     {23, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 7},
		"sealed by nobody":  append([]byte{21, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 1, 0, 0, 26}, make([]byte, 26)...),
		"of a later epoch":  append([]byte{21, 0xfe, 0xfd, 0, 2, 0, 0, 0, 0, 1, 0, 0, 26}, make([]byte, 26)...),
		"of another DTLS":   {21, 3, 3, 0, 0, 0, 0, 0, 0, 1, 0, 0, 2, 2, 40},
		"with more than it": {21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 1, 0, 9, 2, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newTCPWorld(t)
				defer w.close()
				d := w.downlink()
				defer d.pc.GracefulClose()
				in := d.reliable()
				w.check(d.peer.Negotiate())
				w.wait("connected", func() bool { return d.last() == Connected && in.dc.Load() != nil })
				w.gate.write(rec)
				tick(time.Second)
				w.check(in.reply("still here"))
				w.wait("data", func() bool { return d.last() == Closed || d.heard("_reliable still here") })
				if d.last() != Connected {
					t.Errorf("the peer is %s: %v", d.last(), d.why)
				}
			})
		})
	}
}
