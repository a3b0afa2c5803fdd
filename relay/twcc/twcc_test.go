package twcc

import (
	"testing"

	"github.com/pion/rtcp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func body(t testing.TB, cc *rtcp.TransportLayerCC) []byte {
	t.Helper()
	cc.Header = rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: uint16(cc.Len()/4 - 1)}
	b, err := cc.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b[12:]
}

func sample(t testing.TB) []byte {
	return body(t, &rtcp.TransportLayerCC{
		BaseSequenceNumber: 65534, PacketStatusCount: 9, ReferenceTime: 3, FbPktCount: 7,
		PacketChunks: []rtcp.PacketStatusChunk{
			&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 2},
			&rtcp.StatusVectorChunk{
				Type: rtcp.TypeTCCStatusVectorChunk, SymbolSize: rtcp.TypeTCCSymbolSizeTwoBit,
				SymbolList: []uint16{0, rtcp.TypeTCCPacketReceivedLargeDelta, 1, 0, 0, 0, 1},
			},
		},
		RecvDeltas: []*rtcp.RecvDelta{
			{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 1000},
			{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 2000},
			{Type: rtcp.TypeTCCPacketReceivedLargeDelta, Delta: -500},
			{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 250},
			{Type: rtcp.TypeTCCPacketReceivedSmallDelta, Delta: 250},
		},
	})
}

func TestReaderTellsEveryPacket(t *testing.T) {
	var r Reader
	if err := r.Reset(sample(t)); err != nil {
		t.Fatal(err)
	}
	base := int64(3 * referenceUnit)
	want := []struct {
		seq uint16
		got bool
		at  int64
	}{
		{65534, true, base + 1e6},
		{65535, true, base + 3e6},
		{0, false, 0},
		{1, true, base + 2.5e6},
		{2, true, base + 2.75e6},
		{3, false, 0},
		{4, false, 0},
		{5, false, 0},
		{6, true, base + 3e6},
	}
	for i, w := range want {
		if !r.Next() {
			t.Fatalf("ends before packet %d", i)
		}
		if r.Seq != w.seq || r.Received != w.got || w.got && r.At != w.at {
			t.Errorf("packet %d: seq %d received %v at %d, want %+v", i, r.Seq, r.Received, r.At, w)
		}
	}
	if r.Next() {
		t.Error("more packets than were told of")
	}
	if r.Count != 7 {
		t.Errorf("count %d", r.Count)
	}
}

// Reference times have 24 bits of 64 ms: they wrap every twelve days.
func TestReferenceTimeWraps(t *testing.T) {
	var e epochs
	e.next(1<<24 - 1)
	if got := e.next(2); got != 1<<24+2 {
		t.Errorf("after the wrap %d", got)
	}
	if got := e.next(1<<24 - 2); got != 1<<24-2 {
		t.Errorf("back again %d", got)
	}
}

func TestTooManyPacketsAreRefused(t *testing.T) {
	var r Reader
	if err := r.Reset([]byte{0, 1, 0x20, 0, 0, 0, 0, 0, 0x1f, 0xff, 0x1f, 0xff}); err != ErrLong {
		t.Errorf("%v", err)
	}
	if r.Next() {
		t.Error("read all the same")
	}
}

func TestHistoryCountsEachSentPacketOnce(t *testing.T) {
	var h History
	now := int64(1 << 62)
	h.Sent(70, now, 1200, false)
	if _, ok := h.Received(70+Remembered, now); ok {
		t.Error("a packet never sent")
	}
	if _, ok := h.Received(71, now); ok {
		t.Error("another packet never sent")
	}
	if _, ok := h.Missing(70, now); !ok {
		t.Error("not noted as lost")
	}
	if _, ok := h.Missing(70, now); ok {
		t.Error("lost twice")
	}
	p, ok := h.Received(70, now+5e9)
	if !ok || p.Size != 1200 || !p.Lost || p.Probe || p.Sent/1000 != now/1000 {
		t.Errorf("%v %+v", ok, p)
	}
	if _, ok := h.Received(70, now); ok {
		t.Error("received twice")
	}
}

func TestHistoryAllocatesNothing(t *testing.T) {
	var h History
	seq := uint16(0)
	if n := testing.AllocsPerRun(1000, func() {
		seq++
		h.Sent(seq, int64(seq)*1000, 1200, false)
		h.Received(seq-5, int64(seq)*1000)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSent(b *testing.B) {
	var h History
	for i := range b.N {
		h.Sent(uint16(i), int64(i)*1000, 1200, false)
	}
}

// FuzzFeedback holds the reader to pion's, and to its bounds on what pion refuses.
func FuzzFeedback(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte{0, 1, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 1, 0x10, 0, 0xff, 0xff, 0xff, 0, 0x1f, 0xff})
	f.Add([]byte{0, 1, 0, 2, 0x80, 0, 0, 9, 0xe8, 0, 0x80, 0, 0x7f, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Reader
		if r.Reset(b) != nil {
			if r.Next() {
				t.Fatal("reads refused feedback")
			}
			return
		}
		first, n, received := r.Seq+1, 0, 0
		for r.Next() {
			if r.Seq != first+uint16(n) {
				t.Fatal("a packet left out")
			}
			n++
			if r.Received {
				received++
			}
		}
		if n > Remembered {
			t.Fatalf("%d packets", n)
		}
		full := append([]byte{0x8f, 205, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, b...)
		for len(full)%4 != 0 {
			full = append(full, 0)
		}
		full[2], full[3] = byte((len(full)/4-1)>>8), byte(len(full)/4-1)
		var cc rtcp.TransportLayerCC
		if len(full) > 1<<16 || cc.Unmarshal(full) != nil {
			return
		}
		empty := false
		for _, c := range cc.PacketChunks {
			if run, ok := c.(*rtcp.RunLengthChunk); ok && (run.RunLength == 0 || run.PacketStatusSymbol == 3) {
				empty = true // both are without meaning
			}
			if v, ok := c.(*rtcp.StatusVectorChunk); ok {
				for _, s := range v.SymbolList {
					empty = empty || s == 3
				}
			}
		}
		if !empty && int(cc.PacketStatusCount) == n && len(cc.RecvDeltas) < received {
			t.Fatalf("%d received, pion says %d", received, len(cc.RecvDeltas))
		}
	})
}
