package room

import (
	"log/slog"
	"net"
	"testing"

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
	for _, to := range []livekit.CandidateProtocol{livekit.CandidateProtocol_TCP, livekit.CandidateProtocol_UDP} {
		brest := l.rooms["brest"]
		_ = brest.call(func() {
			brest.simulate(brest.local["eye-brest"], &livekit.SimulateScenario{
				Scenario: &livekit.SimulateScenario_SwitchCandidateProtocol{SwitchCandidateProtocol: to},
			})
		})
		l.settle()
		for name, r := range l.rooms {
			_ = r.call(func() {
				if got := r.overTCP("eye-brest"); got != (to == livekit.CandidateProtocol_TCP) {
					t.Errorf("told of %v, %s: over TCP %v", to, name, got)
				}
			})
		}
	}
}
