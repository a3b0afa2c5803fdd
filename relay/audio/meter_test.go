package audio

import "testing"

func interval(m *Meter, level uint8, loud, quiet int) (float32, bool) {
	for range loud {
		m.Observe(level)
	}
	for range quiet {
		m.Observe(127)
	}
	return m.Evaluate(20)
}

func TestMeterTellsSpeechFromClicks(t *testing.T) {
	for _, tc := range []struct {
		name        string
		level       uint8
		loud, quiet int
		speaking    bool
	}{
		{"steady speech", 20, 20, 0, true},
		{"just enough", 20, 8, 12, true},
		{"a click", 20, 2, 18, false},
		{"below the threshold", ThresholdDBov + 1, 20, 0, false},
		{"silence", 127, 0, 20, false},
		{"no packets", 0, 0, 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var m Meter
			level, speaking := interval(&m, tc.level, tc.loud, tc.quiet)
			if speaking != tc.speaking {
				t.Fatalf("speaking = %v (level %v), want %v", speaking, level, tc.speaking)
			}
			if speaking && (level <= 0 || level > 1) {
				t.Fatalf("level = %v, want in (0, 1]", level)
			}
		})
	}
}

func TestMeterFallsSilent(t *testing.T) {
	var m Meter
	for range 5 {
		interval(&m, 10, 20, 0)
	}
	for i := range 10 {
		if level, speaking := interval(&m, 127, 0, 20); !speaking {
			if level != 0 {
				t.Fatalf("level %v without speech, want 0", level)
			}
			return
		} else if i == 9 {
			t.Fatalf("still speaking at level %v after 4 s of silence", level)
		}
	}
}

func TestLouderIsLouder(t *testing.T) {
	var quiet, loud Meter
	for range 4 {
		interval(&quiet, 30, 20, 0)
		interval(&loud, 5, 20, 0)
	}
	lq, _ := interval(&quiet, 30, 20, 0)
	ll, _ := interval(&loud, 5, 20, 0)
	if ll <= lq {
		t.Fatalf("level at -5 dBov = %v, at -30 dBov = %v; want louder to be larger", ll, lq)
	}
}

// A level that never varies is no speech after a while, until it does vary.
func TestMeterSteadyIsNoSpeech(t *testing.T) {
	var m Meter
	speaking := true
	for range 12 { // intervals of 20 packets: 4.8 s
		_, speaking = interval(&m, 0, 20, 0)
	}
	if speaking {
		t.Error("one level for 4.8 s counts as speech")
	}
	if _, speaking = interval(&m, 20, 17, 3); !speaking {
		t.Error("speech after a steady sound is not noticed")
	}
}
