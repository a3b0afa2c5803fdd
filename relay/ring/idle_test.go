package ring

import "testing"

// A stream that was idle goes on with its first packet, wherever its numbers are by
// then: far ahead, or wrapped around to ones that were seen.
func TestIdleStreamGoesOn(t *testing.T) {
	for _, ahead := range []uint16{1, 2999, 3001, 20000, 40000, 65526, 65535} {
		r := New(16, 2*second)
		for i := range uint16(10) {
			put(r, 100+i, at(int64(i)*second/50))
		}
		seq := 109 + ahead
		for i := range uint16(3) {
			if v := put(r, seq+i, at(60*second+int64(i))); v != Fresh {
				t.Errorf("%d ahead: packet %d is judged %d, want fresh", ahead, i, v)
			}
		}
		if !has(r, seq) || r.Lost() != 0 {
			t.Errorf("%d ahead: holds the first: %v, lost %d", ahead, has(r, seq), r.Lost())
		}
		r.Clear()
	}
}
