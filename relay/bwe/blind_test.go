package bwe

import (
	"math"
	"testing"
)

// blindPath reports once a second on a path that drops what is above its rate.
func blindPath(s *Sender, seconds int, rate, offered, random float64) (arrived float64) {
	for i := range seconds {
		now := int64(i) * 1e9
		send := min(offered, s.Budget(now))
		loss := max(random, 1-rate/send)
		s.Lost(now, int(send/1200)+1, int(loss*send/1200), send)
		arrived += send * (1 - loss)
	}
	return arrived / float64(seconds)
}

func TestBlindPathIsHeldToWhatArrives(t *testing.T) {
	s := NewSender()
	s.Blind()
	if !math.IsInf(s.Budget(1), 1) {
		t.Fatal("limited before anything was lost")
	}
	blindPath(s, 10, 125e3, 500e3, 0)
	if b := s.Budget(10e9); b > 160e3 || b < 60e3 {
		t.Errorf("%.0f bytes per second on a path of 125,000", b)
	}
	blindPath(s, 90, 5e6, 500e3, 0)
	if b := s.Budget(90e9); b < 500e3 {
		t.Errorf("%.0f bytes per second when the path is wide again", b)
	}
}

func TestBlindPathBearsRandomLoss(t *testing.T) {
	s := NewSender()
	s.Blind()
	blindPath(s, 60, 5e6, 500e3, .08)
	if b := s.Budget(60e9); b < 500e3 {
		t.Errorf("%.0f bytes per second", b)
	}
}

func TestAbsurdReceiverReports(t *testing.T) {
	s := NewSender()
	s.Blind()
	for i, n := range []int{-1, 0, 1 << 40, 5} {
		s.Lost(int64(i)*1e9, n, 1<<50, 1e18)
		s.Lost(int64(i)*1e9, 100, -n, -1)
		if b := s.Budget(1); !(b >= senderLeast) {
			t.Errorf("budget %v", b)
		}
	}
}

// What a client thinks of its path is a limit only when it is less than is sent: its
// estimate follows what arrives.
func TestEstimateOfTheClient(t *testing.T) {
	s := NewSender()
	before := s.Budget(1)
	s.Remb(1, 1, 500e3)
	if s.Budget(1) != before {
		t.Error("a client that reports in full is held to less")
	}
	s.Blind()
	for i, step := range []struct{ estimate, rate, want float64 }{
		{200e3, 150e3, math.Inf(1)}, // it has seen no more
		{100e3, 150e3, 100e3},
		{120e3, 90e3, 120e3},
		{90e3, 90e3, 120e3},
		{0, 90e3, senderLeast},
		{1e18, 90e3, senderMost},
	} {
		s.Remb(int64(i)*1e9, step.estimate, step.rate)
		if b := s.Budget(int64(10+i) * 1e9); b != step.want {
			t.Errorf("step %d: %.0f bytes per second, want %.0f", i, b, step.want)
		}
	}
}
