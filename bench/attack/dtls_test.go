package attack

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/ice/v4"
)

// record is a DTLS record of the first epoch, which is in clear text.
func record(kind byte, seq uint64, body []byte) []byte {
	b := append([]byte{kind, 0xfe, 0xfd, 10: 0}, 0, 0)
	binary.BigEndian.PutUint64(b[3:], seq)
	binary.BigEndian.PutUint16(b[11:], uint16(len(body)))
	return append(b, body...)
}

// handshake is a message of one, or a piece of it: at from, of size bytes.
func handshake(seq uint64, message uint16, size, from, n int) []byte {
	b := make([]byte, 12+n)
	b[0] = 16 // ClientKeyExchange
	for i, v := range []int{size, from, n} {
		at := []int{1, 6, 9}[i]
		b[at], b[at+1], b[at+2] = byte(v>>16), byte(v>>8), byte(v)
	}
	binary.BigEndian.PutUint16(b[4:], message)
	return record(22, seq, b)
}

// What DTLS can be told once it has connected: that a handshake goes on, in whole messages
// and in pieces, that the last one came again, that the cipher changes, that something is
// amiss. Nobody notices, next to nothing is answered or kept, and the client's own calls
// go on.
func TestHandshakesWithoutEnd(t *testing.T) {
	const flood = 20_000
	for name, records := range map[string]func(i int) []byte{
		"messages that follow": func(i int) []byte { return handshake(uint64(1000+i), uint16(i), 1000, 0, 1000) },
		"pieces of messages":   func(i int) []byte { return handshake(uint64(1000+i), 5000+uint16(i), 1<<20, 1000, 1000) },
		"the first again":      func(i int) []byte { return handshake(uint64(1000+i), 0, 100, 0, 100) },
		"changes of cipher":    func(i int) []byte { return record(20, uint64(1000+i), []byte{1}) },
		"alerts":               func(i int) []byte { return record(21, uint64(1000+i), []byte{1, 100}) },
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				talk := s.talk()
				eve := s.join(victims, "eve")
				defer eve.Close()
				s.check(eve.OpenData(s.ctx))
				wait(time.Second)
				var answers atomic.Int64
				s.tap(func(from, _ netip.AddrPort, b []byte) {
					if from == s.media && len(b) > 0 && b[0] >= 20 && b[0] <= 22 {
						answers.Add(1)
					}
				})
				before := s.refused("record") + s.refused("packet")
				path := hidden[*ice.Conn](eve.Publisher().SCTP().Transport().ICETransport(), "conn")
				for i := range flood {
					if _, err := path.Write(records(i)); err != nil {
						t.Fatal(err)
					}
					if i%10 == 0 {
						wait(time.Millisecond)
					}
					if i%200 == 0 {
						talk.say()
						talk.listen()
					}
				}
				for range 100 {
					wait(10 * time.Millisecond)
					talk.listen()
				}
				talk.verify()
				if n := answers.Load(); n > 300 {
					t.Errorf("%d records of a handshake were answered to %d", n, flood)
				}
				if n := s.refused("record") + s.refused("packet") - before; n < flood-300 {
					t.Errorf("%v of %d were refused", n, flood)
				}
				s.check(eve.SendData(true, []byte("still here")))
				s.check(s.ann.Wait(s.ctx, "eve's message", func() bool {
					for _, d := range s.ann.Data() {
						if string(d.GetUser().GetPayload()) == "still here" {
							return true
						}
					}
					return false
				}))
			})
		})
	}
}
