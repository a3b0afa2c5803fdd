package rtc

import (
	"encoding/binary"
	"testing"
)

// aboutNumbers is the beginning of a report on so many numbers from base.
func aboutNumbers(base, count uint16) []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, base), count)
}

func TestNumbersGoOnAfterThoseOfAnotherNode(t *testing.T) {
	for _, c := range []struct {
		name        string
		sent        uint32
		base, count uint16
		skips       bool
		next        uint16
	}{
		{"of the other node's", 12, 1, 3020, true, 3020},
		{"of ours alone", 12, 1, 12, false, 12},
		{"of ours, some on their way", 12, 1, 9, false, 12},
		{"of higher ones that wrapped", 65540, 65530, 10, false, 4},
		{"across the wrap", 65530, 65529, 20, true, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pathToClient{skips: maxSkips}
			p.next.Store(c.sent)
			got := p.skip(aboutNumbers(c.base, c.count))
			if next := uint16(p.next.Load()); got != c.skips || next != c.next {
				t.Errorf("skipped %t to %d; want %t and %d", got, next, c.skips, c.next)
			}
		})
	}
}

func TestClientMovesNumbersNotForever(t *testing.T) {
	p := pathToClient{skips: maxSkips}
	moved := 0
	for p.skip(aboutNumbers(uint16(p.next.Load())+1, 1000)) {
		if moved++; moved > maxSkips {
			t.Fatalf("moved %d times", moved)
		}
	}
	if moved != maxSkips {
		t.Errorf("moved %d times", moved)
	}
}

func TestOwnClientMovesNoNumbers(t *testing.T) {
	var p pathToClient
	p.next.Store(12)
	if p.skip(aboutNumbers(1, 3020)) || p.next.Load() != 12 {
		t.Errorf("next number %d", p.next.Load())
	}
}
