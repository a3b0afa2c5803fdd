package guard

import "testing"

func TestHandshakes(t *testing.T) {
	const second = int64(1e9)
	took := func(h *Handshakes, alert bool, tries int, now int64) (n int) {
		for range tries {
			if h.Take(alert, now) {
				n++
			}
		}
		return n
	}
	var h Handshakes
	if n := took(&h, false, 1000, second); n != handshakeBurst {
		t.Errorf("%d at once, want %d", n, handshakeBurst)
	}
	if n := took(&h, true, 1000, 11*second); n != 10*handshakeRate {
		t.Errorf("%d more in ten seconds, want %d", n, 10*handshakeRate)
	}
	h.Done()
	if n := took(&h, false, 1000, 100*second); n != 0 {
		t.Errorf("%d once it was done", n)
	}
	if !h.Take(true, 100*second) {
		t.Error("no alert once it was done")
	}
}
