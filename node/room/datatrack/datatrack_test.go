package datatrack

import (
	"bytes"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// packet makes a data-track packet with a payload.
func packet(handle, frame uint16, payload string) []byte {
	return append([]byte{3 << 3, 0, byte(handle >> 8), byte(handle), 0, 1, byte(frame >> 8), byte(frame), 0, 0, 0, 9}, payload...)
}

func TestReadHead(t *testing.T) {
	extended := func(words byte, rest int) []byte {
		b := packet(5, 6, "")
		b[0] |= 1 << 2
		return append(append(b, 0, words), make([]byte, rest)...)
	}
	for name, tt := range map[string]struct {
		in []byte
		ok bool
	}{
		"a packet":                    {packet(5, 6, "payload"), true},
		"no payload":                  {packet(5, 6, ""), true},
		"too short":                   {packet(5, 6, "")[:11], false},
		"handle 0 is reserved":        {packet(0, 6, "x"), false},
		"a later version":             {append([]byte{1 << 5}, packet(5, 6, "")[1:]...), false},
		"too long":                    {packet(5, 6, string(make([]byte, maxPacket))), false},
		"extensions":                  {extended(1, 6), true},
		"extensions and payload":      {extended(1, 9), true},
		"extensions beyond the end":   {extended(1, 5), false},
		"extensions without a length": {extended(0, 0)[:13], false},
		"as long as can be said":      {extended(255, 3), false},
	} {
		h, ok := ReadHead(tt.in)
		if ok != tt.ok || ok && h != (Head{5, 6}) {
			t.Errorf("%s: %+v, %v", name, h, ok)
		}
	}
}

func TestFrameGateHoldsItsRate(t *testing.T) {
	var g Gate
	now := time.Unix(1e9, 0)
	if !g.Pass(1, now) || !g.Pass(2, now) {
		t.Error("without a rate not every frame passes")
	}
	g.Set(10)
	frames := map[uint16]int{}
	for i := range 300 { // 3 s of 100 frames a second, three packets each
		frame := uint16(65500 + i)
		at := now.Add(time.Duration(i) * 10 * time.Millisecond)
		for range 3 {
			if g.Pass(frame, at) {
				frames[frame]++
			}
		}
		if g.Pass(frame-1, at) {
			t.Fatal("a packet of the frame before passed late")
		}
	}
	if len(frames) < 29 || len(frames) > 31 {
		t.Errorf("%d frames in 3 s, want 30", len(frames))
	}
	for f, n := range frames {
		if n != 3 {
			t.Errorf("frame %d: %d packets of 3", f, n)
		}
	}
}

func FuzzReadHead(f *testing.F) {
	f.Add(packet(5, 6, "payload"))
	f.Add([]byte{1 << 2, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		h, ok := ReadHead(b)
		if !bytes.Equal(b, before) {
			t.Fatal("changed the packet")
		}
		if !ok {
			return
		}
		SetHandle(b, 77)
		again, ok := ReadHead(b)
		if !ok || again != (Head{77, h.Frame}) {
			t.Fatalf("%+v became %+v, %v", h, again, ok)
		}
		SetHandle(b, h.Handle)
		if !bytes.Equal(b, before) {
			t.Fatal("more than the handle changed")
		}
	})
}

// A packet costs its fan-out nothing in allocation before the transport.
func TestTrackPacketsCostNoAllocation(t *testing.T) {
	b := packet(5, 6, "payload")
	g := new(Gate)
	g.Set(30)
	now := time.Unix(1e9, 0)
	if n := testing.AllocsPerRun(100, func() {
		h, _ := ReadHead(b)
		now = now.Add(time.Millisecond)
		g.Pass(h.Frame, now)
		SetHandle(b, 9)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
