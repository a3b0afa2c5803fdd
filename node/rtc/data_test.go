package rtc

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/webrtc/v4"
	"pgregory.net/rapid"
)

// The backlog is a queue of which the oldest go when the newest need their room.
func TestBacklogKeepsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 64
		var b backlog
		var model [][]byte
		used := 0
		for i := range rapid.IntRange(1, 200).Draw(t, "steps") {
			if len(model) > 0 && rapid.Bool().Draw(t, "pop") {
				if got := b.pop([]byte{9}); !cmp.Equal(got[1:], model[0]) {
					t.Fatalf("got %v, want %v", got[1:], model[0])
				}
				used -= backlogHead + len(model[0])
				model = model[1:]
				continue
			}
			msg := make([]byte, rapid.IntRange(0, size).Draw(t, "bytes"))
			for j := range msg {
				msg[j] = byte(i + j)
			}
			out, ok := b.push(msg, size)
			if ok != (backlogHead+len(msg) <= size) {
				t.Fatalf("%d bytes fit: %v", len(msg), ok)
			}
			if !ok {
				continue
			}
			want := 0
			for used += backlogHead + len(msg); used > size; want++ {
				used -= backlogHead + len(model[0])
				model = model[1:]
			}
			model = append(model, msg)
			if out != want || b.count != len(model) {
				t.Fatalf("%d pushed out, %d left; want %d, %d", out, b.count, want, len(model))
			}
		}
	})
}

// Over any stretch of time no more is taken than the rate and one burst.
func TestMeterHoldsItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := perSecond(100, 10_000, time.Second)
		var m meter
		now, began := int64(1e18), int64(1e18)
		messages, bytes := 0, 0
		for range rapid.IntRange(1, 500).Draw(t, "steps") {
			now += rapid.Int64Range(0, 50e6).Draw(t, "ns")
			n := rapid.IntRange(0, 1000).Draw(t, "bytes")
			if !m.try(r, now, n) {
				continue
			}
			messages++
			bytes += n
			seconds := float64(now-began)/1e9 + 1
			if float64(messages) > 100*seconds+1 || float64(bytes) > 10_000*seconds+1000 {
				t.Fatalf("%d messages, %d bytes in %v s", messages, bytes, seconds)
			}
		}
	})
}

func TestMeterSaysHowLong(t *testing.T) {
	r := perSecond(100, 10_000, time.Second)
	var m meter
	for i, tt := range []struct {
		at   time.Duration
		n    int
		want time.Duration
	}{
		{0, 5_000, 0},
		{0, 5_000, 0},
		{0, 1_000, 100 * time.Millisecond},
		{100 * time.Millisecond, 0, 0},
		{time.Hour, 10_000, 0},
	} {
		if got := m.take(r, 1e18+int64(tt.at), tt.n); got != tt.want {
			t.Errorf("step %d: wait %v, want %v", i, got, tt.want)
		}
	}
}

// inbox collects what a client receives on a channel.
type inbox struct {
	mu  sync.Mutex // guards got
	got []int
}

func (b *inbox) all() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.got)
}

func (b *inbox) take(m webrtc.DataChannelMessage) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, int(binary.BigEndian.Uint32(m.Data)))
}

// A congested client gets the newest lossy messages, not the oldest.
func TestLossyDropsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		d := w.downlink()
		defer d.pc.GracefulClose()
		var in inbox
		d.pc.OnDataChannel(func(dc *webrtc.DataChannel) {
			if dc.Label() == "_lossy" {
				dc.OnMessage(in.take)
			}
		})
		w.check(d.peer.Negotiate())
		w.wait("connected", func() bool { return d.last() == Connected })
		tick(time.Second)
		w.check(w.router.Stop()) // the client hears nothing for a while
		const n = 400
		for i := range n {
			msg := make([]byte, 1000)
			binary.BigEndian.PutUint32(msg, uint32(i))
			w.check(d.peer.SendData(Lossy, msg))
		}
		s := d.peer.DataStats()
		if s.Sent != 66 || s.Sent+s.Dropped > n-60 {
			t.Errorf("%+v, want 66 kB handed over, 64 kB waiting, the rest dropped", s)
		}
		w.check(w.router.Start())
		w.wait("the newest", func() bool { got := in.all(); return len(got) > 0 && got[len(got)-1] == n-1 })
		for _, i := range in.all() {
			if i >= 66 && i < n-66 {
				t.Errorf("%d arrived: it should have made room for newer ones", i)
			}
		}
	})
}

// Ten thousand small messages a second: reliable ones are slowed to the rate, every one
// arrives in order; lossy ones over the rate are refused.
func TestFloodIsHeldToTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		reliable, err := u.pc.CreateDataChannel("_reliable", nil)
		w.check(err)
		lossy, err := u.pc.CreateDataChannel("_lossy", nil)
		w.check(err)
		u.negotiate()
		w.wait("open", func() bool {
			return reliable.ReadyState() == webrtc.DataChannelStateOpen && lossy.ReadyState() == webrtc.DataChannelStateOpen
		})
		count := func(label string) (n int) {
			u.mu.Lock()
			defer u.mu.Unlock()
			for _, s := range u.data {
				if strings.HasPrefix(s, label) {
					n++
				}
			}
			return n
		}
		for i := range 10_000 {
			w.check(lossy.SendText("x"))
			if i < 3_000 {
				w.check(reliable.SendText(strconv.Itoa(i)))
			}
			if i%10 == 9 {
				tick(time.Millisecond)
			}
		}
		tick(3 * time.Second)
		// What SCTP itself costs is bounded too, which draws the flood out.
		if n := count("_lossy"); n < 500 || n > 1500 {
			t.Errorf("%d lossy messages of a second's 10,000 passed in 4 s, want the rate and its burst", n)
		}
		if n := count("_reliable"); n < 1000 || n > 1600 {
			t.Errorf("%d reliable messages passed in 4 s, want the rate and its burst", n)
		}
		w.wait("every reliable message", func() bool { return count("_reliable") == 3_000 })
		u.mu.Lock()
		next := 0
		for _, s := range u.data {
			if strings.HasPrefix(s, "_reliable") {
				if s != "_reliable "+strconv.Itoa(next) {
					t.Fatalf("%s, want %d", s, next)
				}
				next++
			}
		}
		u.mu.Unlock()
		if s := u.peer.DataStats(); s.Slowed < 2000 || s.Refused < 5000 {
			t.Errorf("%+v", s)
		}
	})
}

// A file in chunks of 15 kB, as livekit-client cuts them, is not slowed down.
func TestFileIsNotSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		dc, err := u.pc.CreateDataChannel("_reliable", nil)
		w.check(err)
		u.negotiate()
		w.wait("open", func() bool { return dc.ReadyState() == webrtc.DataChannelStateOpen })
		const chunks = 600 // 9 MB in 10 s: 7 Mbit/s
		for range chunks {
			w.check(dc.Send(make([]byte, 15_000)))
			tick(time.Second / 60)
		}
		w.wait("the file", func() bool {
			u.mu.Lock()
			defer u.mu.Unlock()
			return len(u.data) == chunks
		})
		if s := u.peer.DataStats(); s.Slowed+s.Refused > 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A message that costs the room ten is paid ten times: its sender is ten times slower.
func TestChargeSlowsTheSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		dc, err := u.pc.CreateDataChannel("_reliable", nil)
		w.check(err)
		u.negotiate()
		w.wait("open", func() bool { return dc.ReadyState() == webrtc.DataChannelStateOpen })
		seen := 0
		for range 400 {
			w.check(dc.SendText("x"))
		}
		for range 1000 {
			tick(10 * time.Millisecond)
			u.mu.Lock()
			now := len(u.data)
			u.mu.Unlock()
			for ; seen < now; seen++ {
				u.peer.Charge(Reliable, 9, 1)
			}
		}
		if seen < 300 || seen > 400-20 {
			t.Errorf("%d of 400 messages in 10 s, want those of 30 a second and some before the first was charged", seen)
		}
	})
}

// A message that never ends fills the window of its own connection, which goes on to
// nobody; the node and its other clients do not notice.
func TestMessageWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		endless, err := u.pc.CreateDataChannel("_reliable", nil)
		w.check(err)
		u.forge()
		w.wait("open", func() bool { return endless.ReadyState() == webrtc.DataChannelStateOpen })
		w.check(endless.Send(make([]byte, 900_000)))
		tick(10 * time.Second)
		if s := u.peer.pc.SCTP().Stats(); s.BytesReceived > 4*sctpReceive {
			t.Errorf("%d bytes were taken of a message that nobody reads, the window is %d", s.BytesReceived, sctpReceive)
		}
		v := w.uplink()
		defer v.pc.GracefulClose()
		dc, err := v.pc.CreateDataChannel("_lossy", nil)
		w.check(err)
		v.negotiate()
		w.wait("open", func() bool { return dc.ReadyState() == webrtc.DataChannelStateOpen })
		w.check(dc.SendText("hello"))
		w.wait("another client's message", func() bool {
			v.mu.Lock()
			defer v.mu.Unlock()
			return len(v.data) == 1
		})
	})
}

// forge negotiates and makes the client believe that the node takes large messages.
func (u *uplinkPair) forge() {
	t := u.w.t
	t.Helper()
	offer, err := u.pc.CreateOffer(nil)
	u.w.check(err)
	u.w.check(u.pc.SetLocalDescription(offer))
	answer, err := u.peer.SetOffer(offer.SDP, 1)
	u.w.check(err)
	forged := strings.Replace(answer, "a=max-message-size:64000", "a=max-message-size:1000000", 1)
	if forged == answer {
		t.Fatal("the answer does not say what the node takes")
	}
	u.w.check(u.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: forged}))
}

// A message larger than the node said it takes is not delivered, counted, and ends no
// other channel.
func TestMessageBeyondTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		u := w.uplink()
		defer u.pc.GracefulClose()
		large, err := u.pc.CreateDataChannel("_reliable", nil)
		w.check(err)
		other, err := u.pc.CreateDataChannel("_lossy", nil)
		w.check(err)
		u.forge()
		w.wait("open", func() bool {
			return large.ReadyState() == webrtc.DataChannelStateOpen && other.ReadyState() == webrtc.DataChannelStateOpen
		})
		w.check(large.Send(make([]byte, 100_000)))
		w.check(other.SendText("before"))
		tick(5 * time.Second)
		_ = other.SendText("after")
		tick(5 * time.Second)
		u.mu.Lock()
		defer u.mu.Unlock()
		if !slices.Equal(u.data, []string{"_lossy before", "_lossy after"}) {
			t.Errorf("delivered %.40q", u.data)
		}
		if n := u.peer.DataStats().Refused; n != 1 {
			t.Errorf("%d counted as refused", n)
		}
	})
}
