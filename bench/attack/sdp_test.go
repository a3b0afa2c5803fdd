package attack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/bench/client"
	"maille/proto/livekit"
)

// honest is an offer that a client would make for its microphone and camera.
func (s *siege) honest(c *client.Client) string {
	s.t.Helper()
	pc := c.Publisher()
	for _, k := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		_, err := pc.AddTransceiverFromKind(k, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
		s.check(err)
	}
	offer, err := pc.CreateOffer(nil)
	s.check(err)
	return offer.SDP
}

// section is the video m-line of an offer.
func section(offer string) string { return offer[strings.Index(offer, "m=video"):] }

func indexed(s string, mid int) string {
	i := strings.Index(s, "a=mid:")
	j := i + strings.Index(s[i:], "\r\n")
	return s[:i] + fmt.Sprint("a=mid:x", mid) + s[j:]
}

// Offers that are larger, longer, deeper and more confused than any honest one. Each
// ends its client's session, and costs nobody else a thing.
func TestOffers(t *testing.T) {
	for name, change := range map[string]func(offer string) string{
		"1000 m-lines": func(o string) string {
			for i := range 1000 {
				o += indexed(section(o)[:0]+"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:y\r\na=sendonly\r\na=rtpmap:96 VP8/90000\r\n", i)
			}
			return o
		},
		"4 MB":        func(o string) string { return o + strings.Repeat("a=x:"+strings.Repeat("y", 1000)+"\r\n", 4000) },
		"1 MB line":   func(o string) string { return o + "a=x:" + strings.Repeat("y", 1<<20) + "\r\n" },
		"10k codecs":  func(o string) string { return o + strings.Repeat("a=rtpmap:96 VP8/90000\r\n", 10000) },
		"300 formats": func(o string) string { return o + "m=video 9 UDP/TLS/RTP/SAVPF" + strings.Repeat(" 96", 300) + "\r\n" },
		"mid reused":  func(o string) string { return strings.ReplaceAll(o, "a=mid:1", "a=mid:0") },
		"no mid":      func(o string) string { return strings.ReplaceAll(o, "a=mid:1\r\n", "") },
		"16 rids":     func(o string) string { return o + rids(16) },
		"rid twice":   func(o string) string { return o + "a=rid:q send\r\na=rid:q send\r\na=simulcast:send q;q\r\n" },
		"4 KB rid":    func(o string) string { return o + "a=rid:" + strings.Repeat("q", 4000) + " send\r\n" },
		"1000 ssrcs":  func(o string) string { return o + strings.Repeat("a=ssrc:1 cname:x\r\n", 1000) },
		"extension 0": func(o string) string { return o + "a=extmap:0 urn:x\r\n" },
		"ICE-lite":    func(o string) string { return strings.Replace(o, "\r\nm=", "\r\na=ice-lite\r\nm=", 1) },
		"long ufrag": func(o string) string {
			return strings.ReplaceAll(o, "a=ice-ufrag:", "a=ice-ufrag:"+strings.Repeat("u", 300))
		},
		"control char": func(o string) string { return o + "a=x:\x00\x07\r\n" },
		"nothing":      func(string) string { return "" },
		"no SDP":       func(string) string { return strings.Repeat("A", 100000) },
		"no sections":  func(o string) string { return o[:strings.Index(o, "m=")] },
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				guest := s.join(victims, "guest")
				defer guest.Close()
				s.offer(guest, change(s.honest(guest)))
				s.wantLeft(guest)
				if name != "4 MB" { // which is larger than a message may be
					s.wantRefused("description", 1)
				}
			})
		})
	}
}

func rids(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "a=rid:r%d send\r\n", i)
	}
	return b.String()
}

// The largest offers that are taken, one after the other, as fast as they can be sent.
func TestOfferFlood(t *testing.T) {
	besiege(t, func(s *siege) {
		guest := s.join(victims, "guest")
		defer guest.Close()
		pc := guest.Publisher()
		for i := range 31 {
			kind := webrtc.RTPCodecTypeVideo
			if i%2 == 0 {
				kind = webrtc.RTPCodecTypeAudio
			}
			_, err := pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendrecv})
			s.check(err)
		}
		offer, err := pc.CreateOffer(nil)
		s.check(err)
		for range 200 {
			s.offer(guest, offer.SDP)
		}
		wait(20 * time.Second)
		s.wantRefused("backlog", 15)
	})
}

// Answers that nobody asked for, that match no offer, and that are empty.
func TestAnswers(t *testing.T) {
	for name, answer := range map[string]func(s *siege, c *client.Client) string{
		"empty":    func(*siege, *client.Client) string { return "" },
		"an offer": func(s *siege, c *client.Client) string { return s.honest(c) },
		"other mids": func(s *siege, c *client.Client) string {
			return strings.ReplaceAll(s.honest(c), "a=mid:", "a=mid:other")
		},
		"1000 m-line": func(s *siege, c *client.Client) string {
			return s.honest(c) + strings.Repeat("m=video 9 X 96\r\n", 1000)
		},
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				guest := s.join(victims, "guest")
				defer guest.Close()
				sdp := answer(s, guest)
				for id := range uint32(20) {
					_ = guest.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Answer{
						Answer: &livekit.SessionDescription{Type: "answer", Sdp: sdp, Id: id},
					}})
				}
				wait(5 * time.Second)
			})
		})
	}
}

// Descriptions of the wrong type, rollbacks, and offers on top of each other.
func TestDescriptionTypes(t *testing.T) {
	besiege(t, func(s *siege) {
		for i, kind := range []string{"rollback", "pranswer", "answer", "", "offer", "\x00"} {
			guest := s.join(victims, fmt.Sprint("guest-", i))
			sdp := s.honest(guest)
			for range 10 {
				d := &livekit.SessionDescription{Type: kind, Sdp: sdp}
				_ = guest.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Offer{Offer: d}})
				_ = guest.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Answer{Answer: d}})
			}
			wait(time.Second)
			_ = guest.Close()
		}
	})
}
