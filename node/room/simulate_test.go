package room

import (
	"log/slog"
	"net"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"maille/node/rtc"
	"maille/proto/livekit"
)

// A client that is to come over TCP may join anew at any node, not only at the one that
// it was moved to.
func TestProtocolSwitchIsKnownEverywhere(t *testing.T) {
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	engine, err := rtc.NewEngine(rtc.Config{UDP: udp, HostIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, AllowLoopback: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	l := newLand(t, engine)
	defer l.close()
	for to, want := range map[livekit.CandidateProtocol]livekit.CandidateProtocol{
		livekit.CandidateProtocol_TCP: livekit.CandidateProtocol_TCP,
		livekit.CandidateProtocol_UDP: livekit.CandidateProtocol_UDP,
		livekit.CandidateProtocol_TLS: livekit.CandidateProtocol_TCP, // these nodes know no TURN server by TLS
		7:                             livekit.CandidateProtocol_UDP,
	} {
		brest := l.rooms["brest"]
		_ = brest.call(func() {
			brest.simulate(brest.local["eye-brest"], &livekit.SimulateScenario{
				Scenario: &livekit.SimulateScenario_SwitchCandidateProtocol{SwitchCandidateProtocol: to},
			})
		})
		l.settle()
		for name, r := range l.rooms {
			_ = r.call(func() {
				if got := r.switchedTo("eye-brest"); got != want {
					t.Errorf("told of %v, %s: by %v, want %v", to, name, got, want)
				}
			})
		}
	}
}

// A client that is to come by TLS is told of nothing but TURN servers by TLS, when it
// joins and when it resumes.
func TestSwitchToTLS(t *testing.T) {
	s := newStage(t)
	d := s.join("ann")
	sidAt(t, d)
	d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_Simulate{Simulate: &livekit.SimulateScenario{
		Scenario: &livekit.SimulateScenario_SwitchCandidateProtocol{SwitchCandidateProtocol: livekit.CandidateProtocol_TLS},
	}}}
	d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_Leave{Leave: new(livekit.LeaveRequest)}}
	for s.room.Holds("ann") {
		runtime.Gosched()
	}
	join := s.join("ann").await(t, "join", isJoin).GetJoin()
	back := s.resume("ann", join.Participant.Sid).await(t, "reconnect", func(m *livekit.SignalResponse) bool { return m.GetReconnect() != nil }).GetReconnect()
	want := []*livekit.ICEServer{{Urls: []string{"turns:turn.example.org:443"}, Username: "u", Credential: "c"}}
	for what, m := range map[string]interface {
		GetIceServers() []*livekit.ICEServer
		GetClientConfiguration() *livekit.ClientConfiguration
	}{"join": join, "reconnect": back} {
		if diff := cmp.Diff(want, m.GetIceServers(), protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
		if got := m.GetClientConfiguration().GetForceRelay(); got != livekit.ClientConfigSetting_ENABLED {
			t.Errorf("%s: force_relay %v", what, got)
		}
	}
}
