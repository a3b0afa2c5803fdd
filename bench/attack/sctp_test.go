package attack

import (
	"encoding/binary"
	"hash/crc32"
	"reflect"
	"testing"
	"time"
	"unsafe"

	"github.com/pion/dtls/v3"
	"github.com/pion/sctp"

	"maille/bench/client"
)

// association is a client's, to send forged packets in.
type association struct {
	conn     *dtls.Conn
	tag, tsn uint32
}

// hidden reads a field that pion keeps to itself.
func hidden[T any](of any, name string) T {
	f := reflect.ValueOf(of).Elem().FieldByName(name)
	return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem().Interface().(T)
}

func (s *siege) association(c *client.Client) *association {
	s.t.Helper()
	s.check(c.OpenData(s.ctx))
	wait(time.Second)
	of := c.Publisher().SCTP()
	a := hidden[*sctp.Association](of, "sctpAssociation")
	return &association{
		conn: hidden[*dtls.Conn](of.Transport(), "conn"),
		tag:  hidden[uint32](a, "peerVerificationTag"), tsn: hidden[uint32](a, "myNextTSN"),
	}
}

// send puts chunks into one packet.
func (a *association) send(chunks ...[]byte) error {
	p := make([]byte, 12, 1200)
	binary.BigEndian.PutUint16(p, 5000)
	binary.BigEndian.PutUint16(p[2:], 5000)
	binary.BigEndian.PutUint32(p[4:], a.tag)
	for _, c := range chunks {
		p = append(p, c...)
		p = append(p, make([]byte, -len(c)&3)...)
	}
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	_, err := a.conn.Write(p)
	return err
}

// Chunks (RFC 9260, RFC 8260, RFC 6525) and the flags of those that carry messages.
const (
	iData, iForward, reconfig, sack = 64, 194, 130, 3

	last, first, unordered = 1, 2, 4
)

func chunkOf(kind, flags byte, value []byte) []byte {
	c := append([]byte{kind, flags, 0, 0}, value...)
	binary.BigEndian.PutUint16(c[2:], uint16(len(c)))
	return c
}

// piece is a part of a message, as clients that interleave send them.
func (a *association) piece(flags byte, stream uint16, message, part uint32, n int) []byte {
	v := make([]byte, 16+n)
	binary.BigEndian.PutUint32(v, a.tsn)
	binary.BigEndian.PutUint16(v[4:], stream)
	binary.BigEndian.PutUint32(v[8:], message)
	binary.BigEndian.PutUint32(v[12:], part)
	a.tsn++
	return chunkOf(iData, flags, v)
}

// What SCTP can be made to do with its messages' parts, its lists and its requests:
// nobody else notices, what it costs is bounded, and who goes on is out.
func TestChunks(t *testing.T) {
	for name, packet := range map[string]func(a *association, i uint32) [][]byte{
		"one message in crumbs": func(a *association, i uint32) (out [][]byte) {
			for j := range uint32(45) {
				out = append(out, a.piece(0, 1, 0, 1+45*i+j, 1))
			}
			return out
		},
		"messages begun and never ended": func(a *association, i uint32) (out [][]byte) {
			for j := range uint32(45) {
				out = append(out, a.piece(first|byte(i%2)*unordered, 1, 45*i+j, 0, 1))
			}
			return out
		},
		"nothing in chunks": func(a *association, i uint32) (out [][]byte) {
			for j := range uint32(45) {
				out = append(out, a.piece(first, 1, 45*i+j, 0, 0))
			}
			return out
		},
		"every stream there is": func(a *association, i uint32) (out [][]byte) {
			for j := range uint32(45) {
				out = append(out, a.piece(first|last, uint16(45*i+j), 0, 0, 1))
			}
			return out
		},
		"requests to reset that wait": func(a *association, i uint32) (out [][]byte) {
			for j := range uint32(10) {
				v := []byte{0, 13, 0, 16, 15: 0}
				binary.BigEndian.PutUint32(v[4:], 10*i+j)
				binary.BigEndian.PutUint32(v[12:], a.tsn+1<<20)
				out = append(out, chunkOf(reconfig, 0, v))
			}
			return out
		},
		"long lists of what is skipped": func(a *association, i uint32) [][]byte {
			v := make([]byte, 1100)
			binary.BigEndian.PutUint32(v, a.tsn)
			a.tsn += 2
			return [][]byte{chunkOf(iForward, 0, v)}
		},
		"acknowledgements of everything": func(a *association, _ uint32) (out [][]byte) {
			v := make([]byte, 12+4*100)
			binary.BigEndian.PutUint16(v[8:], 100)
			for i := range 100 {
				binary.BigEndian.PutUint32(v[12+4*i:], 1<<16|0xffff)
			}
			return [][]byte{chunkOf(sack, 0, v)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			besiege(t, func(s *siege) {
				talk := s.talk()
				eve := s.join(victims, "eve")
				defer func() { _ = eve.Drop() }()
				a := s.association(eve)
				for i := range uint32(5000) {
					if a.send(packet(a, i)...) != nil {
						break
					}
					wait(time.Millisecond)
					if i%50 == 0 {
						talk.say()
					}
					talk.listen()
				}
				for range 100 {
					wait(10 * time.Millisecond)
					talk.listen()
				}
				talk.verify()
				s.wantLeft(eve)
				if name != "every stream there is" { // rtc.maxClientChannels, at once
					s.wantRefused("chunk", 100)
				}
			})
		})
	}
}
