package guard

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/logging"
	"github.com/pion/sctp"
)

const window = 128 << 10

// pipe is one end of a path for packets.
type pipe struct {
	net.Conn // nil: what is missing here is not used
	in       chan []byte
	to       *pipe
	through  func(b []byte) bool // whether a packet that this end sends arrives
	closed   chan struct{}
	once     sync.Once
}

func (p *pipe) Read(b []byte) (int, error) {
	select {
	case m := <-p.in:
		return copy(b, m), nil
	case <-p.closed:
		return 0, io.EOF
	}
}

func (p *pipe) Write(b []byte) (int, error) {
	if p.through(b) {
		select {
		case p.to.in <- append([]byte(nil), b...):
		case <-p.to.closed:
			return 0, net.ErrClosed
		}
	}
	return len(b), nil
}

func (p *pipe) Close() error { p.once.Do(func() { close(p.closed) }); return nil }

// watched are two real associations with an SCTP in between.
type watched struct {
	t            *testing.T
	mu           sync.Mutex // guards s and the counts
	s            SCTP
	passed, gone int
	ended        bool
	client       *sctp.Association
	server       *sctp.Association
	wire         *pipe // the client's
	tag, tsn     uint32
}

func watch(t *testing.T, interleaved bool) *watched {
	w := &watched{t: t, s: SCTP{Window: window}}
	a := &pipe{in: make(chan []byte, 1<<16), closed: make(chan struct{})}
	b := &pipe{in: make(chan []byte, 1<<16), closed: make(chan struct{}), to: a}
	a.to, w.wire = b, a
	a.through = func(m []byte) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		v := w.s.In(m, time.Now().UnixNano())
		w.ended = w.ended || v == End
		if v == Pass {
			w.passed++
		} else {
			w.gone++
		}
		return v == Pass
	}
	b.through = func(m []byte) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.s.Out(m)
		return true
	}
	quiet := logging.NewDefaultLoggerFactory()
	quiet.DefaultLogLevel = logging.LogLevelDisabled
	var up sync.WaitGroup
	var err, err2 error
	up.Go(func() {
		w.server, err = sctp.ServerWithOptions(sctp.WithNetConn(b), sctp.WithLoggerFactory(quiet), sctp.WithMaxReceiveBufferSize(window))
	})
	up.Go(func() {
		w.client, err2 = sctp.ClientWithOptions(sctp.WithNetConn(a), sctp.WithLoggerFactory(quiet), sctp.WithEnableInterleaving(interleaved))
	})
	up.Wait()
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	of := reflect.ValueOf(w.client).Elem()
	w.tag, w.tsn = uint32(of.FieldByName("peerVerificationTag").Uint()), uint32(of.FieldByName("myNextTSN").Uint())
	return w
}

func (w *watched) close() {
	_ = w.client.Close()
	_ = w.server.Close()
}

// send forges a packet of the client's.
func (w *watched) send(chunks ...[]byte) { _, _ = w.wire.Write(forge(w.tag, chunks...)) }

func forge(tag uint32, chunks ...[]byte) []byte {
	p := make([]byte, sctpHeader)
	binary.BigEndian.PutUint16(p, 5000)
	binary.BigEndian.PutUint16(p[2:], 5000)
	binary.BigEndian.PutUint32(p[4:], tag)
	for _, c := range chunks {
		p = append(p, c...)
		p = append(p, make([]byte, -len(c)&3)...)
	}
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	return p
}

// Flags of DATA (RFC 9260 section 3.3.1).
const (
	last      = 1
	first     = 2
	unordered = 4
)

func chunk(kind, flags byte, value []byte) []byte {
	c := append(make([]byte, chunkHeader), value...)
	c[0], c[1] = kind, flags
	binary.BigEndian.PutUint16(c[2:], uint16(len(c)))
	return c
}

func (w *watched) data(flags byte, ssn uint16, n int) []byte {
	v := make([]byte, dataHeader-chunkHeader+n)
	binary.BigEndian.PutUint32(v, w.tsn)
	binary.BigEndian.PutUint16(v[6:], ssn)
	w.tsn++
	return chunk(chunkData, flags, v)
}

func (w *watched) iData(flags byte, mid, fsn uint32, n int) []byte {
	v := make([]byte, iDataHeader-chunkHeader+n)
	binary.BigEndian.PutUint32(v, w.tsn)
	binary.BigEndian.PutUint32(v[8:], mid)
	binary.BigEndian.PutUint32(v[12:], fsn)
	w.tsn++
	return chunk(chunkIData, flags, v)
}

// entries counts what the library of the server keeps.
func (w *watched) entries() (n int) {
	of := func(v reflect.Value, sets string) {
		for i := range v.FieldByName(sets).Len() {
			n += v.FieldByName(sets).Index(i).Elem().FieldByName("chunks").Len()
		}
	}
	streams := reflect.ValueOf(w.server).Elem().FieldByName("streams")
	for r := streams.MapRange(); r.Next(); {
		q := r.Value().Elem().FieldByName("reassemblyQueue").Elem()
		of(q, "ordered")
		of(q, "unordered")
		of(q, "orderedMID")
		of(q, "unorderedMID")
		n += q.FieldByName("unorderedChunks").Len()
		for m := q.FieldByName("unorderedMIDMap").MapRange(); m.Next(); {
			n += m.Value().Elem().FieldByName("chunks").Len()
		}
	}
	return n
}

// However a client cuts what it sends, the library keeps no more than so many pieces,
// with the association's own numbers and real chunks.
func TestEntriesAreBounded(t *testing.T) {
	for name, piece := range map[string]func(w *watched, i int) []byte{
		"crumbs of one message":            func(w *watched, _ int) []byte { return w.data(0, 0, 1) },
		"unordered crumbs":                 func(w *watched, _ int) []byte { return w.data(unordered, 0, 1) },
		"ends of messages never begun":     func(w *watched, i int) []byte { return w.data(last, uint16(i), 1) },
		"messages begun and never ended":   func(w *watched, i int) []byte { return w.data(first, uint16(i), 1) },
		"messages behind one that is lost": func(w *watched, i int) []byte { return w.data(first|last, uint16(i%30000+1), 1) },
		"messages nobody reads":            func(w *watched, i int) []byte { return w.data(first|last, uint16(i), 1) },
		"larger crumbs":                    func(w *watched, _ int) []byte { return w.data(0, 0, 24) },
	} {
		t.Run(name, func(t *testing.T) { bounded(t, false, piece) })
	}
	for name, piece := range map[string]func(w *watched, i int) []byte{
		"interleaved crumbs":           func(w *watched, i int) []byte { return w.iData(0, 0, uint32(i), 1) },
		"interleaved beginnings":       func(w *watched, i int) []byte { return w.iData(first, uint32(i), 0, 1) },
		"interleaved unordered begins": func(w *watched, i int) []byte { return w.iData(first|unordered, uint32(i), 0, 1) },
		"interleaved wholes, unread":   func(w *watched, i int) []byte { return w.iData(first|last, uint32(i), 0, 1) },
	} {
		t.Run(name, func(t *testing.T) { bounded(t, true, piece) })
	}
}

func bounded(t *testing.T, interleaved bool, piece func(w *watched, i int) []byte) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, interleaved)
		defer w.close()
		most, i := 0, 0
		for range 600 { // packets, 300 a second
			var all [][]byte
			for range 40 {
				all = append(all, piece(w, i))
				i++
			}
			before := w.tsn - 40
			if n := w.gone; true {
				w.send(all...)
				if w.gone > n {
					w.tsn = before // the client tries again
				}
			}
			<-time.After(time.Second / 300)
			synctest.Wait()
			most = max(most, w.entries())
		}
		if limit := maxEntries + window/fullChunk; most > limit {
			t.Errorf("%d entries wait, want at most %d", most, limit)
		}
		if most < maxEntries/2 {
			t.Errorf("%d entries wait at most: the attack did not reach the library", most)
		}
		if w.gone == 0 {
			t.Error("no packet was dropped")
		}
	})
}

// A client that keeps to the rules is never in the way of these: a file, and everything
// that people do at once, with packets lost.
func TestHonestAssociation(t *testing.T) {
	for _, interleaved := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := watch(t, interleaved)
			defer w.close()
			lossless, n := w.wire.through, 0
			w.wire.through = func(b []byte) bool { n++; return n%50 != 0 && lossless(b) }
			file, err := w.client.OpenStream(1, sctp.PayloadTypeWebRTCBinary)
			if err != nil {
				t.Fatal(err)
			}
			small, err := w.client.OpenStream(2, sctp.PayloadTypeWebRTCBinary)
			if err != nil {
				t.Fatal(err)
			}
			small.SetReliabilityParams(true, sctp.ReliabilityTypeRexmit, 0)
			var got [2]int
			var reading sync.WaitGroup
			for range 2 {
				s, err := func() (*sctp.Stream, error) {
					_, _ = file.WriteSCTP(make([]byte, 1), sctp.PayloadTypeWebRTCBinary)
					_, _ = small.WriteSCTP(make([]byte, 1), sctp.PayloadTypeWebRTCBinary)
					return w.server.AcceptStream()
				}()
				if err != nil {
					t.Fatal(err)
				}
				reading.Go(func() {
					b := make([]byte, 1<<16)
					for {
						n, err := s.Read(b)
						if err != nil {
							return
						}
						w.mu.Lock()
						w.s.Read(n)
						got[s.StreamIdentifier()-1]++
						w.mu.Unlock()
						if s.StreamIdentifier() == 1 {
							<-time.After(time.Second / 70) // 1 MB a second
						}
					}
				})
			}
			const files, smalls, patience = 500, 15_000, 10 * time.Minute
			var writing sync.WaitGroup
			writing.Go(func() {
				for range files {
					_, _ = file.WriteSCTP(make([]byte, 15_000), sctp.PayloadTypeWebRTCBinary)
				}
			})
			writing.Go(func() {
				for range smalls {
					_, _ = small.WriteSCTP(make([]byte, 80), sctp.PayloadTypeWebRTCBinary)
					<-time.After(time.Millisecond)
				}
			})
			writing.Wait()
			// What is lost costs the library's timer a second and more each: with no watch in
			// between it takes as long.
			here := func() bool {
				w.mu.Lock()
				defer w.mu.Unlock()
				return got[0] >= files && got[1] >= smalls/2
			}
			for limit := time.Now().Add(patience); !here() && time.Now().Before(limit); {
				<-time.After(time.Second)
			}
			w.mu.Lock()
			if w.gone > 0 {
				t.Errorf("%d packets were dropped, %d passed", w.gone, w.passed)
			}
			if got[0] < files || got[1] < smalls/2 {
				t.Errorf("%d of %d parts of the file and %d of %d small messages came", got[0], files, got[1], smalls)
			}
			w.mu.Unlock()
			w.close()
			reading.Wait()
		})
	}
}

// Requests to reset streams that wait for data: the library answers each of them with
// every chunk that comes, so it keeps one.
func TestResetFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch(t, false)
		defer w.close()
		w.send(w.data(first|last, 0, 10)) // with its acknowledgement numbers are known
		<-time.After(time.Second)
		for i := range uint32(500) {
			v := make([]byte, 16)
			binary.BigEndian.PutUint16(v, paramOutgoingReset)
			binary.BigEndian.PutUint16(v[2:], 16)
			binary.BigEndian.PutUint32(v[4:], i)
			binary.BigEndian.PutUint32(v[12:], w.tsn+1<<20)
			w.send(chunk(chunkReconfig, 0, v))
			<-time.After(time.Millisecond)
		}
		if n := reflect.ValueOf(w.server).Elem().FieldByName("reconfigRequests").Len(); n != 1 {
			t.Errorf("%d requests are kept, want 1", n)
		}
	})
}

func TestWeigh(t *testing.T) {
	data := func(n int) []byte { return chunk(chunkData, 3, make([]byte, dataHeader-chunkHeader+n)) }
	sack := func(from, to uint16) []byte {
		v := make([]byte, sackHeader-chunkHeader+4)
		binary.BigEndian.PutUint16(v[8:], 1)
		binary.BigEndian.PutUint16(v[12:], from)
		binary.BigEndian.PutUint16(v[14:], to)
		return chunk(chunkSack, 0, v)
	}
	for name, c := range map[string]struct {
		p    []byte
		cost int
		ok   bool
	}{
		"a message":               {forge(1, data(100)), 2, true},
		"three":                   {forge(1, data(1), data(2), data(3)), 4, true},
		"an empty chunk":          {forge(1, data(0)), 0, false},
		"an empty I-DATA":         {forge(1, chunk(chunkIData, 3, make([]byte, 16))), 0, false},
		"no header":               {make([]byte, 11), 0, false},
		"a chunk of no length":    {append(make([]byte, 12), 0, 0, 0, 0), 0, false},
		"a chunk past the end":    {append(make([]byte, 12), 0, 0, 0, 99), 0, false},
		"a range of everything":   {forge(1, sack(1, 0xffff)), 2 + 0xffff/ackedPerCost, true},
		"more ranges than come":   {forge(1, chunk(chunkSack, 0, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0})), 0, false},
		"a skip of 100 streams":   {forge(1, chunk(chunkForward, 0, make([]byte, 400))), 2 + 101, true},
		"a reset that is too few": {forge(1, chunk(chunkReconfig, 0, []byte{0, 13, 0, 8, 0, 0, 0, 0})), 0, false},
	} {
		s := SCTP{Window: window}
		if w, ok := s.weigh(c.p); ok != c.ok || ok && w.cost != c.cost {
			t.Errorf("%s: cost %d, %t, want %d, %t", name, w.cost, ok, c.cost, c.ok)
		}
	}
}

// A client that goes on against its bounds is told to leave, one that backs off is not.
func TestPatience(t *testing.T) {
	s := SCTP{Window: window}
	p := forge(1, chunk(chunkForward, 0, make([]byte, 4000)))
	now, dropped := int64(0), 0
	for range 100_000 {
		v := s.In(p, now)
		if v == End {
			break
		}
		if v == Drop {
			dropped++
		}
		now += int64(time.Millisecond)
	}
	if dropped < sctpPatience || dropped > 2*sctpPatience {
		t.Errorf("ended after %d packets dropped", dropped)
	}
	s = SCTP{Window: window}
	for range 100_000 {
		if s.In(p, now) == End {
			t.Fatal("ended a client that backs off")
		}
		now += int64(100 * time.Millisecond)
	}
}

// Whatever comes, weighing it neither fails nor loses count.
func FuzzSCTP(f *testing.F) {
	w := watched{tsn: 7}
	f.Add(forge(1, w.data(3, 0, 10), w.data(0, 0, 1)), forge(1, chunk(chunkSack, 0, make([]byte, 12))))
	f.Add(forge(1, w.iData(3, 0, 0, 10), chunk(chunkReconfig, 0, make([]byte, 20))), []byte{})
	f.Add(forge(1, chunk(chunkForward, 0, make([]byte, 40))), forge(1))
	f.Fuzz(func(t *testing.T, in, out []byte) {
		s := SCTP{Window: window}
		for i := range 3 {
			s.In(in, int64(i))
			s.Out(out)
			s.Read(len(in))
			if s.light < 0 || s.light > maxEntries*fullChunk || s.work.level < 0 || s.work.level > sctpRate {
				t.Fatalf("%+v", s)
			}
		}
	})
}
