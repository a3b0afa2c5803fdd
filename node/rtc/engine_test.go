package rtc

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

func TestClientAddress(t *testing.T) {
	for ip, want := range map[string]bool{
		"192.0.2.1": true, "10.1.2.3": true, "2001:db8::1": true, "fe80::1": true,
		"127.0.0.1": false, "::1": false, "::ffff:127.0.0.1": false, "0.0.0.0": false, "::": false,
		"169.254.169.254": false, "::ffff:169.254.169.254": false, "224.0.0.251": false, "ff02::fb": false,
		"255.255.255.255": false,
	} {
		if got := clientAddress(net.ParseIP(ip), false); got != want {
			t.Errorf("%s: %v", ip, got)
		}
	}
	if !clientAddress(net.ParseIP("127.0.0.1"), true) {
		t.Error("loopback refused where it is allowed")
	}
}

// One ICE candidate a family, every address in the SDP, the first one preferred.
func TestAllHostsAreAdvertised(t *testing.T) {
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hosts := []net.IP{net.IPv4(192, 0, 2, 1), net.IPv4(198, 51, 100, 7), net.IPv4(127, 0, 0, 1)}
	e, err := NewEngine(Config{UDP: udp, HostIPs: hosts, AllowLoopback: true, Log: testLog()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	offer := firstOffer(t, e)
	for _, ip := range hosts {
		if n := strings.Count(offer, " "+ip.String()+" "+itoa(e.port)+" typ host"); n < 1 || n > 2 {
			t.Errorf("%s is advertised %d times", ip, n)
		}
	}
}

func firstOffer(t *testing.T, e *Engine) string {
	t.Helper()
	offers := make(chan string, 1)
	h := &probe{onOffer: func(sdp string, _ uint32) { offers <- sdp }}
	p, err := e.NewPeer(h, Options{Role: Downlink})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Negotiate(); err != nil {
		t.Fatal(err)
	}
	return <-offers
}

// Real sockets: a client on this machine reaches a node that listens everywhere, over
// UDP and, where UDP is blocked or not told of, over TCP.
func TestLoopback(t *testing.T) {
	for _, tt := range []struct {
		name  string
		types []webrtc.NetworkType
		only  bool
		over  webrtc.ICEProtocol
	}{
		{"udp", []webrtc.NetworkType{webrtc.NetworkTypeUDP4}, false, webrtc.ICEProtocolUDP},
		{"tcp", []webrtc.NetworkType{webrtc.NetworkTypeTCP4}, false, webrtc.ICEProtocolTCP},
		{"tcp only", []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeTCP4}, true, webrtc.ICEProtocolTCP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			udp, err := net.ListenPacket("udp", ":0")
			if err != nil {
				t.Fatal(err)
			}
			tcp, err := net.Listen("tcp", ":0")
			if err != nil {
				t.Fatal(err)
			}
			e, err := NewEngine(Config{UDP: udp, TCP: tcp, AllowLoopback: true, Log: testLog()})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			var s webrtc.SettingEngine
			s.SetNetworkTypes(tt.types)
			s.SetIncludeLoopbackCandidate(true)
			s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
			client, err := webrtc.NewAPI(webrtc.WithSettingEngine(s)).NewPeerConnection(webrtc.Configuration{})
			if err != nil {
				t.Fatal(err)
			}
			defer client.GracefulClose()
			got := make(chan string, 1)
			client.OnDataChannel(func(dc *webrtc.DataChannel) {
				dc.OnMessage(func(m webrtc.DataChannelMessage) { got <- string(m.Data) })
			})
			h := &probe{}
			p, err := e.NewPeer(h, Options{Role: Downlink, TCPOnly: tt.only})
			if err != nil {
				t.Fatal(err)
			}
			h.onOffer = func(sdp string, id uint32) {
				err := client.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: sdp})
				answer, err2 := client.CreateAnswer(nil)
				if err := errors.Join(err, err2, client.SetLocalDescription(answer), p.SetAnswer(answer.SDP, id)); err != nil {
					t.Error(err)
				}
			}
			if err := errors.Join(p.SendData(Reliable, []byte("hello")), p.Negotiate()); err != nil {
				t.Fatal(err)
			}
			select {
			case m := <-got:
				if m != "hello" {
					t.Errorf("got %q", m)
				}
			case <-time.After(2 * time.Minute):
				t.Fatal("no message")
			}
			pair, err := client.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
			if err != nil || pair.Remote.Protocol != tt.over {
				t.Errorf("connected by %v, %v; want %s", pair, err, tt.over)
			}
		})
	}
}

func TestClosedEngineTakesNoPeers(t *testing.T) {
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEngine(Config{UDP: udp, HostIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, Log: testLog()})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.NewPeer(&probe{}, Options{}); !errors.Is(err, ErrClosed) {
		t.Errorf("new peer: %v", err)
	}
}

// A peer that closes in the middle of an exchange ends after it: pion would make an ICE
// agent for the exchange, and leave it behind.
func TestClosingWaitsForTheExchange(t *testing.T) {
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEngine(Config{UDP: udp, HostIPs: []net.IP{net.IPv4(127, 0, 0, 1)}, AllowLoopback: true, Log: testLog()})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	p, err := e.NewPeer(&probe{}, Options{Role: Downlink})
	if err != nil {
		t.Fatal(err)
	}
	p.nego.Lock() // an exchange begins
	p.shut(nil)
	for i := 0; i < 100_000 && p.pc.SignalingState() != webrtc.SignalingStateClosed; i++ {
		runtime.Gosched() // time for what must not be
	}
	_, err = p.pc.CreateOffer(nil)
	p.nego.Unlock()
	if err != nil {
		t.Errorf("closed under the exchange: %v", err)
	}
	if err := p.offer(); !errors.Is(err, ErrClosed) {
		t.Errorf("an offer while closing: %v", err)
	}
	p.Close()
}
