package link

import (
	"net"
	"slices"
	"testing"
	"time"

	"maille/relay"
	"maille/relay/track"
)

// BenchmarkHop sends full packets over a link between two real sockets on loopback, at
// the pace at which they come, and reports the delay of the hop.
func BenchmarkHop(b *testing.B) {
	ca := newTestCA(b)
	open := func(name string) (*node, *net.UDPConn) {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		nd := &node{t: b, name: name, tracks: map[relay.TrackID]*track.Track{}, messages: map[string][]string{}}
		e, err := Listen(Config{Self: name, Conn: conn, TLS: ca.issue(b, name), Handler: nd})
		if err != nil {
			b.Fatal(err)
		}
		nd.Endpoint = e
		return nd, conn
	}
	na, ca1 := open("a")
	nb, cb := open("b")
	defer func() {
		_ = na.Endpoint.Close()
		_ = nb.Endpoint.Close()
		_ = ca1.Close()
		_ = cb.Close()
	}()
	up := make(chan *Session, 1)
	nb.onUp = func(s *Session) { up <- s }
	origin, here := track.New("TR", relay.Video, ""), track.New("TR", relay.Video, "")
	na.tracks["TR"] = origin
	na.Peer("b", nb.Addr().String())
	sb := <-up
	got := make(chan time.Duration, 1<<20)
	newest, disorder := uint16(0), 0
	here.Attach(sinkFunc(func(p *relay.Packet) {
		if int16(p.Seq-newest) < 0 {
			disorder++
		} else {
			newest = p.Seq
		}
		got <- time.Duration(p.Arrived - int64(sentAt(p)))
	}), relay.AllLayers)
	sb.Pull(TrackRef{ID: "TR"}, here)
	seq := uint16(0)
	push := func() {
		p := relay.NewPacket()
		p.Seq, p.SSRC, p.Arrived = seq, 1, relay.Now()
		p.Payload = p.Buffer()[:1170]
		stamp(p)
		origin.Push(p)
		seq++
	}
	for origin.Demand() == 0 || len(nb.Session("a").lanes.all()) < 4 { // until the demand is there
		<-time.After(10 * time.Millisecond)
	}
	const pps = 2500
	tick := time.NewTicker(time.Second / pps * 5)
	defer tick.Stop()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%5 == 0 {
			<-tick.C
		}
		push()
	}
	b.StopTimer()
	<-time.After(300 * time.Millisecond)
	delays := make([]time.Duration, 0, len(got))
	for len(got) > 0 {
		delays = append(delays, <-got)
	}
	slices.Sort(delays)
	if len(delays) > 0 {
		b.ReportMetric(float64(delays[len(delays)/2])/1e3, "p50-us")
		b.ReportMetric(float64(delays[len(delays)*99/100])/1e3, "p99-us")
		b.ReportMetric(100*float64(len(delays))/float64(seq), "%arrived")
		b.ReportMetric(100*float64(disorder)/float64(len(delays)), "%disorder")
	}
	origin.Close()
	here.Close()
}
