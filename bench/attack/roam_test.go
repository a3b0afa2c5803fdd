package attack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// attribute is the value of an SDP attribute.
func attribute(sdp, name string) string {
	_, rest, _ := strings.Cut(sdp, "a="+name+":")
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// A client proves itself from thousands of addresses: each would become a candidate and
// be kept. Only so many are taken, and its own address goes on.
func TestAddressFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join("lobby", "guest")
		defer guest.Close()
		_, err := guest.PublishAudio(s.ctx, 20)
		s.check(err)
		pc := guest.Publisher()
		theirs, ours := pc.RemoteDescription().SDP, pc.LocalDescription().SDP
		user := stun.NewUsername(attribute(theirs, "ice-ufrag") + ":" + attribute(ours, "ice-ufrag"))
		password := stun.NewShortTermIntegrity(attribute(theirs, "ice-pwd"))
		sent := s.traffic()
		ip := addr(s.host().IP())
		answered := 0
		for port := range uint16(5000) {
			m, err := stun.Build(stun.TransactionID, stun.BindingRequest, user, stun.RawAttribute{
				Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8},
			}, stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{1, 2, 3, 4}}, password, stun.Fingerprint)
			s.check(err)
			s.c.Net.Inject("attacker-1", netip.AddrPortFrom(ip, 1000+port), s.media, m.Raw)
			if port%100 == 0 {
				wait(10 * time.Millisecond)
			}
		}
		wait(5 * time.Second)
		sent.mu.Lock()
		for a := range sent.bytes {
			if a.Addr() == ip {
				answered++
			}
		}
		sent.mu.Unlock()
		if answered == 0 || answered > 64 {
			t.Errorf("%d addresses were answered, want some and at most 64", answered)
		}
		s.wantRefused("address", 4900)
	})
}
