package attack

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"maille/bench/client"
	"maille/bench/scenario"
	"maille/bench/sim"
	"maille/node/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// maxGap is the longest silence of a stream that counts as nothing noticed.
const maxGap = 200 * time.Millisecond

// maxHeap bounds in bytes what of the heap is in use more after an attack than before, the
// attackers' own clients and what the test itself recorded included: a node of 2 GB
// holds dozens of those who try.
const maxHeap = 96 << 20

// Of the victims' streams: audio every 20 ms, video at 30 frames a second.
const (
	victims    = "cabinet" // their room
	node       = "paris"
	perSecond  = 50 + 30
	videoBytes = 1000
)

// siege is a node with a meeting of two on it that nothing may disturb, and the
// network that attacks come from.
type siege struct {
	t     testing.TB
	c     *scenario.Cluster
	ctx   context.Context
	ann   *client.Client
	bob   *client.Client
	flows []*flow
	media netip.AddrPort // the node's media port

	mu    sync.Mutex // guards taps
	taps  []func(from, to netip.AddrPort, b []byte)
	hosts int
}

// flow is one victim's stream as the other receives it.
type flow struct {
	name        string
	sent        *client.Published
	got         *client.Received
	began       time.Time
	sentBefore  uint64
	gotBefore   uint64
	gapsBefore  uint64
	wrongBefore uint64
}

// besiege runs an attack while the victims meet, and then holds what happened against
// what must not. The bubble ends with an error if the attack left a goroutine.
func besiege(t *testing.T, attack func(s *siege)) {
	t.Helper()
	besiegeFrom(t, []string{node}, attack)
}

// besiegeFrom is besiege in a mesh: attackers are at the first node, ann at the second
// and bob at the third, all of them at the last of fewer.
func besiegeFrom(t *testing.T, nodes []string, attack func(s *siege)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		s := &siege{t: t, ctx: ctx, c: scenario.Start(t, 1, regionDelay, nodes...)}
		defer s.c.Close()
		s.media = netip.AddrPortFrom(addr(s.c.Nodes[node].Host.IP()), 7882)
		s.c.Net.Drop(func(from, to netip.AddrPort, b []byte) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, tap := range s.taps {
				tap(from, to, b)
			}
			return false
		})
		last := len(nodes) - 1
		s.ann = s.c.Join(ctx, nodes[min(1, last)], victims, "ann", "")
		s.bob = s.c.Join(ctx, nodes[min(2, last)], victims, "bob", "")
		defer s.ann.Close()
		defer s.bob.Close()
		s.meet(s.ann, s.bob)
		s.meet(s.bob, s.ann)
		wait(2 * time.Second)
		before := heap()
		for _, f := range s.flows {
			f.mark()
		}
		attack(s)
		wait(2 * time.Second)
		for _, f := range s.flows {
			f.verify(t)
		}
		if more := heap() - before; more > maxHeap {
			t.Errorf("%d MB of heap more than before, want at most %d", more>>20, maxHeap>>20)
		}
	})
}

// regionDelay is one way between nodes of different regions.
const regionDelay = 10 * time.Millisecond

// heap is what is in use of the heap once the garbage is gone, in bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC() // pools give back what they hold at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse)
}

func (s *siege) meet(from, to *client.Client) {
	s.t.Helper()
	a, err := from.PublishAudio(s.ctx, 20)
	s.check(err)
	v, err := from.PublishVideo(s.ctx, 1, 30, videoBytes)
	s.check(err)
	for name, p := range map[string]*client.Published{"audio": a, "video": v} {
		s.check(to.WaitPackets(s.ctx, p.Info.Sid, 20))
		s.flows = append(s.flows, &flow{
			name: name + " of " + from.Join().Participant.Identity, sent: p, got: to.Track(p.Info.Sid),
		})
	}
}

func (f *flow) mark() {
	f.began = time.Now()
	f.sentBefore, f.gotBefore = f.sent.Sent[0].Load(), f.got.Packets.Load()
	f.gapsBefore, f.wrongBefore = f.got.Gaps.Load(), f.got.Corrupt.Load()+f.got.Disorder.Load()
	f.got.Longest.Store(0)
}

// verify holds that nothing was noticed: what was sent came, all of it, in time and as
// it was, and nothing else.
func (f *flow) verify(t testing.TB) {
	t.Helper()
	sent, got := f.sent.Sent[0].Load()-f.sentBefore, f.got.Packets.Load()-f.gotBefore
	if d := int64(sent) - int64(got); d < -2 || d > 2 { // some are on their way
		t.Errorf("%s: %d packets sent in %v, %d came", f.name, sent, time.Since(f.began), got)
	}
	if n := f.got.Gaps.Load() - f.gapsBefore; n > 0 {
		t.Errorf("%s: %d packets missing", f.name, n)
	}
	if n := f.got.Corrupt.Load() + f.got.Disorder.Load() - f.wrongBefore; n > 0 {
		t.Errorf("%s: %d packets not as they were sent", f.name, n)
	}
	if d := time.Duration(f.got.Longest.Load()); d > maxGap {
		t.Errorf("%s: silent for %v", f.name, d)
	}
}

func (s *siege) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// join lets somebody into a room with an ordinary token.
func (s *siege) join(room, identity string) *client.Client {
	s.t.Helper()
	return s.c.Join(s.ctx, node, room, identity, "")
}

// joinAs is join with claims of its own.
func (s *siege) joinAs(claims *auth.Claims) *client.Client {
	s.t.Helper()
	return s.c.JoinAs(s.ctx, node, claims)
}

// host is one more machine of the attacker's.
func (s *siege) host() *sim.Host {
	s.hosts++
	return s.c.Net.Host(fmt.Sprintf("attacker-%d", s.hosts), node, fmt.Sprintf("10.66.%d.%d", s.hosts/250, s.hosts%250+1))
}

// socket is a datagram socket of a new machine.
func (s *siege) socket() net.PacketConn {
	s.t.Helper()
	c, err := s.host().ListenPacket("udp", ":0")
	s.check(err)
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// tap shows each datagram of the network to f, which must not keep its bytes.
func (s *siege) tap(f func(from, to netip.AddrPort, b []byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taps = append(s.taps, f)
}

// refused is how often the node has refused something for a reason, by its metrics.
func (s *siege) refused(reason string) float64 {
	s.t.Helper()
	v, ok := s.c.Metrics(node)[fmt.Sprintf("maille_client_refused_total{reason=%q}", reason)]
	if !ok {
		s.t.Fatalf("no counter of refusals for %q", reason)
	}
	return v
}

// wantRefused holds that an attack was counted.
func (s *siege) wantRefused(reason string, least float64) {
	s.t.Helper()
	if got := s.refused(reason); got < least {
		s.t.Errorf("%v refusals counted under %q, want at least %v", got, reason, least)
	}
}

// wait lets virtual time pass.
func wait(d time.Duration) { <-time.After(d) }

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}

func TestNothingDisturbsTheVictims(t *testing.T) {
	besiege(t, func(*siege) { wait(5 * time.Second) })
}
