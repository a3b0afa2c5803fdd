package sim

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
	"github.com/quic-go/quic-go"
)

// newPion returns a peer connection that lives on the host.
func newPion(t *testing.T, h *Host) *webrtc.PeerConnection {
	t.Helper()
	var e webrtc.SettingEngine
	e.SetNet(h.Pion())
	e.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(e)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	return pc
}

func TestPionPeersExchangeData(t *testing.T) {
	inBubble(t, Path{Delay: 40 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		x, y := newPion(t, a), newPion(t, b)
		start := time.Now()
		got := make(chan string, 1)
		y.OnDataChannel(func(d *webrtc.DataChannel) {
			d.OnMessage(func(m webrtc.DataChannelMessage) { got <- string(m.Data) })
		})
		d, err := x.CreateDataChannel("chat", nil)
		if err != nil {
			t.Fatal(err)
		}
		d.OnOpen(func() { d.SendText("bonjour") })
		settle := func(pc *webrtc.PeerConnection, make func() (webrtc.SessionDescription, error)) webrtc.SessionDescription {
			t.Helper()
			desc, err := make()
			if err != nil {
				t.Fatal(err)
			}
			done := webrtc.GatheringCompletePromise(pc)
			if err := pc.SetLocalDescription(desc); err != nil {
				t.Fatal(err)
			}
			<-done
			return *pc.LocalDescription()
		}
		offer := settle(x, func() (webrtc.SessionDescription, error) { return x.CreateOffer(nil) })
		if err := y.SetRemoteDescription(offer); err != nil {
			t.Fatal(err)
		}
		if err := x.SetRemoteDescription(settle(y, func() (webrtc.SessionDescription, error) { return y.CreateAnswer(nil) })); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-got:
			if m != "bonjour" {
				t.Errorf("got %q", m)
			}
		case <-time.After(10 * time.Second):
			t.Error("no data after 10 s")
		}
		if took := time.Since(start); took < 160*time.Millisecond {
			t.Errorf("open after %v, faster than the path", took)
		}
		x.GracefulClose()
		y.GracefulClose()
	})
}

func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.Add(time.Hour), DNSNames: []string{"b"}}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestQUICDatagrams(t *testing.T) {
	inBubble(t, Path{Delay: 75 * time.Millisecond}, func(t *testing.T, n *Network, a, b *Host) {
		transport := func(h *Host) *quic.Transport {
			return &quic.Transport{Conn: listenUDP(t, h, ":7883")}
		}
		ta, tb := transport(a), transport(b)
		defer func() {
			for _, tr := range []*quic.Transport{ta, tb} {
				tr.Close()
				tr.Conn.Close()
			}
		}()
		conf := &quic.Config{EnableDatagrams: true}
		l, err := tb.Listen(&tls.Config{Certificates: []tls.Certificate{certificate(t)}, NextProtos: []string{"x"}}, conf)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		dialed, err := ta.Dial(ctx, &net.UDPAddr{IP: b.IP(), Port: 7883},
			&tls.Config{InsecureSkipVerify: true, ServerName: "b", NextProtos: []string{"x"}}, conf)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != 150*time.Millisecond {
			t.Errorf("handshake took %v, want one round trip", took)
		}
		want := bytes.Repeat([]byte{7}, 1000)
		if err := dialed.SendDatagram(want); err != nil {
			t.Fatal(err)
		}
		accepted, err := l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := accepted.ReceiveDatagram(ctx); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if took := time.Since(start); took != 225*time.Millisecond {
			t.Errorf("datagram after %v, want 1.5 round trips", took)
		}
		dialed.CloseWithError(0, "")
		<-accepted.Context().Done()
	})
}
