package audio

import (
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	frame   = 20 * int64(1e6) // one packet of Opus
	silence = 127
)

// hall lets voices speak in turn, a packet each every 20 ms.
type hall struct {
	ranking *Ranking
	now     int64
	voices  []*Voice
	passes  []bool
	passing int // of the last frame

	began   []int64 // when the run of passing packets began
	fewest  int64   // shortest run that ended with a voice still loud
	changes int     // how often a voice began to pass
}

func newHall(slots, voices int) *hall {
	h := &hall{ranking: NewRanking(slots), now: 1e12, fewest: 1 << 62}
	for i := range voices {
		h.voices = append(h.voices, h.ranking.Add(string(rune('a'+i)), false))
	}
	h.passes, h.began = make([]bool, voices), make([]int64, voices)
	return h
}

// speak pushes one packet of each voice, of the levels given.
func (h *hall) speak(level func(i int) uint8) {
	h.passing = 0
	for i, v := range h.voices {
		l := level(i)
		pass := v.Hear(h.now+int64(i), l)
		switch {
		case pass && !h.passes[i]:
			h.began[i] = h.now
			h.changes++
		case !pass && h.passes[i] && l <= floor:
			h.fewest = min(h.fewest, h.now-h.began[i])
		}
		h.passes[i] = pass
	}
	for _, v := range h.voices {
		if v.Passing(h.now + int64(len(h.voices))) {
			h.passing++
		}
	}
	h.now += frame
}

// full tells whether as many voices leave as may at once.
func (h *hall) full() bool {
	for _, v := range h.ranking.leaving {
		if v == nil || v.inside.Load() || v.until.Load() < h.now {
			return false
		}
	}
	return true
}

func (h *hall) loud() (out []int) {
	for i, pass := range h.passes {
		if pass {
			out = append(out, i)
		}
	}
	return out
}

// syllables makes a level vary as speech does.
func syllables(level uint8, n int) uint8 {
	if n%25 >= 22 {
		return min(level+20, silence)
	}
	return level
}

// Whatever is said, no more pass than there are slots and voices that leave, and a
// voice that passes does so long enough to be heard.
func TestNeverMoreThanTheSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots, voices := rapid.IntRange(1, 5).Draw(t, "slots"), rapid.IntRange(1, 12).Draw(t, "voices")
		h := newHall(slots, voices)
		levels := rapid.SliceOfN(rapid.Uint8Range(0, silence), voices, voices)
		for range rapid.IntRange(1, 40).Draw(t, "turns") {
			now := levels.Draw(t, "levels")
			for range rapid.IntRange(1, 60).Draw(t, "frames") {
				h.speak(func(i int) uint8 { return now[i] })
				if h.passing > slots+Overlap {
					t.Fatalf("%d pass, %d slots", h.passing, slots)
				}
			}
		}
		if h.fewest < stay-frame {
			t.Fatalf("a loud voice passed for %d ms only", h.fewest/1e6)
		}
	})
}

// Who is louder than all others by the margin passes from the second packet on, unless
// others are changing places just then, and is not interrupted, whatever they do.
func TestLoudestPasses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		slots := rapid.IntRange(1, 4).Draw(t, "slots")
		h := newHall(slots, slots+4)
		seed := rapid.Uint64().Draw(t, "seed")
		r := rand.New(rand.NewPCG(seed, 1))
		const loud, start = 20, 200
		entered, loudFor := false, 0
		begins := start + rapid.IntRange(0, 50).Draw(t, "begins")
		for n := range 1000 {
			full := h.full()
			h.speak(func(i int) uint8 {
				switch {
				case i > 0:
					return uint8(loud + margin + 1 + r.IntN(60))
				case n < begins:
					return silence
				}
				return syllables(loud, n-begins)
			})
			if n >= begins && syllables(loud, n-begins) == loud {
				loudFor++
			} else {
				loudFor = 0
			}
			entered = entered || h.passes[0]
			if !h.passes[0] && (entered || loudFor >= 2 && !full) {
				t.Fatalf("packet %d does not pass, entered: %v", n-begins+1, entered)
			}
		}
	})
}

// A newcomer enters at once where a slot is free or its holder does not speak, and
// with its second packet over those who do. A click enters nowhere.
func TestOnset(t *testing.T) {
	for _, tc := range []struct {
		name   string
		others uint8
		level  uint8
		lasts  int // packets
		enters int // with which packet, 0 never
	}{
		{"free slot", silence, 40, 50, 1},
		{"soft voice, free slot", silence, 75, 50, 1},
		{"noise in all slots", 65, 30, 50, 1},
		{"soft voice over noise", 78, 60, 50, 2},
		{"speech in all slots", 40, 30, 50, 2},
		{"hardly louder", 40, 36, 50, 0},
		{"quieter", 40, 50, 50, 0},
		{"click", 40, 16, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHall(3, 4)
			for n := range 100 {
				h.speak(func(i int) uint8 {
					if i == 3 {
						return silence
					}
					return syllables(tc.others, n)
				})
			}
			entered := 0
			for n := range 50 {
				h.speak(func(i int) uint8 {
					switch {
					case i < 3:
						return syllables(tc.others, n)
					case n < tc.lasts:
						return tc.level
					}
					return silence
				})
				if h.passes[3] && entered == 0 {
					entered = n + 1
				}
			}
			if entered != tc.enters {
				t.Errorf("passes from packet %d, want %d", entered, tc.enters)
			}
		})
	}
}

// What another node let through enters with its first packet here.
func TestOnsetOfRelayed(t *testing.T) {
	h := newHall(3, 3)
	for n := range 100 {
		h.speak(func(i int) uint8 { return syllables(40, n) })
	}
	far := h.ranking.Add("far", true)
	if !far.Hear(h.now, 30) {
		t.Error("its first packet does not pass")
	}
}

// Voices that are about as loud do not take each other's slots.
func TestNoFlapping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const voices = 8
		h := newHall(3, voices)
		level := rapid.Uint8Range(20, 40).Draw(t, "level")
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		for n := range 1000 {
			h.speak(func(i int) uint8 { return syllables(level+uint8(r.IntN(5)), n+i) })
		}
		if h.changes != 3 {
			t.Fatalf("%d times a voice began to pass, want 3", h.changes)
		}
	})
}

// Eight people who all speak at once, as unevenly as people do, leave each a slot for
// four seconds and more.
func TestCrowdIsCalm(t *testing.T) {
	const minute = 3000
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		h := newHall(3, 8)
		for n := range minute {
			h.speak(func(i int) uint8 {
				if (n+17*i)%60 > 50 {
					return 70 // between words
				}
				return uint8(30 + i/3 + r.IntN(16))
			})
		}
		if h.changes > 3*60/4 {
			t.Errorf("seed %d: %d changes in a minute", seed, h.changes)
		}
	}
}

// Silence gives a slot back after a pause.
func TestSilenceLeaves(t *testing.T) {
	h := newHall(3, 1)
	h.speak(func(int) uint8 { return 30 })
	for n := range 100 {
		h.speak(func(int) uint8 { return silence })
		if passed := int64(n+1) * frame; h.passes[0] != (passed <= hold) {
			t.Fatalf("passes: %v, after %d ms of silence", h.passes[0], passed/1e6)
		}
	}
}

// A voice whose packets stop coming does not keep others out.
func TestAbsentLeaves(t *testing.T) {
	h := newHall(1, 2)
	for n := range 100 {
		h.speak(func(i int) uint8 {
			if i == 0 {
				return 20
			}
			return syllables(50, n)
		})
	}
	h.now += hold + frame
	if !h.voices[1].Hear(h.now, 50) {
		t.Error("the only voice that speaks does not pass")
	}
}

// A sender that always claims the loudest level keeps nobody out who speaks.
func TestConstantLevelGivesWay(t *testing.T) {
	h := newHall(3, 6)
	const liars = 3
	for range 300 {
		h.speak(func(i int) uint8 {
			if i < liars {
				return 0
			}
			return silence
		})
	}
	for n := range 500 {
		h.speak(func(i int) uint8 {
			if i < liars {
				return 0
			}
			return syllables(40, n)
		})
	}
	for i := liars; i < 6; i++ {
		if !h.passes[i] {
			t.Errorf("%v pass, a speaker is kept out", h.loud())
		}
	}
	// With nobody to give way to, steady sound is heard: it may be music.
	for range 100 {
		h.speak(func(i int) uint8 {
			if i < liars {
				return 0
			}
			return silence
		})
	}
	if got := h.loud(); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("%v pass of a hall with three steady voices", got)
	}
}

// A level beyond speech counts no more than loud speech.
func TestLevelsAreCapped(t *testing.T) {
	h := newHall(1, 2)
	for n := range 200 {
		h.speak(func(i int) uint8 {
			if i == 0 {
				return syllables(18, n)
			}
			if n < 100 {
				return silence
			}
			return syllables(0, n)
		})
	}
	if !h.passes[0] {
		t.Error("a claim of 0 dBov took the slot of loud speech")
	}
}

// One owner holds one slot, with whichever of its tracks is louder.
func TestOneSlotPerOwner(t *testing.T) {
	h := newHall(3, 6)
	for i := range 5 {
		h.voices[i] = h.ranking.Add("greedy", false)
	}
	for n := range 100 {
		h.speak(func(i int) uint8 { return syllables(uint8(60-10*i), n) })
	}
	if got := h.loud(); !slices.Equal(got, []int{4, 5}) {
		t.Errorf("%v pass, want the owner's loudest and the other one", got)
	}
}

func TestLimitChanges(t *testing.T) {
	h := newHall(0, 5)
	speak := func(limit int) []int {
		h.ranking.SetLimit(limit)
		for n := range 100 {
			h.speak(func(i int) uint8 { return syllables(uint8(20+10*i), n) })
		}
		return h.loud()
	}
	for _, tc := range []struct{ limit, want int }{{0, 5}, {3, 3}, {1, 1}, {2, 2}, {MaxLoudest + 9, 5}, {0, 5}} {
		if got := speak(tc.limit); len(got) != tc.want || got[0] != 0 {
			t.Errorf("%v pass with limit %d, want the %d loudest", got, tc.limit, tc.want)
		}
	}
}

// A voice that left frees its slot at once.
func TestLeave(t *testing.T) {
	h := newHall(1, 2)
	h.speak(func(i int) uint8 { return 30 })
	h.voices[0].Leave()
	if !h.voices[1].Hear(h.now, 60) {
		t.Error("the slot of a voice that left is not free")
	}
}

// Voices are heard by the goroutines of their tracks, all at once.
func TestVoicesInParallel(t *testing.T) {
	h := newHall(3, 8)
	done := make(chan struct{})
	for i, v := range h.voices {
		go func() {
			defer func() { done <- struct{}{} }()
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for n := range 5000 {
				v.Hear(h.now+int64(n)*frame, uint8(15+r.IntN(112)))
			}
			v.Leave()
		}()
	}
	for range h.voices {
		<-done
	}
	for i := range h.ranking.slots {
		if v := h.ranking.slots[i].Load(); v != nil {
			t.Errorf("slot %d is held by a voice that left", i)
		}
	}
}

func hearer(t testing.TB, slots, voices int) func() {
	h := newHall(slots, voices)
	r := rand.New(rand.NewPCG(1, 4))
	levels := make([]uint8, 4096)
	for i := range levels {
		levels[i] = uint8(15 + r.IntN(60))
	}
	n := 0
	return func() {
		i := n % voices
		n++
		if i == 0 {
			h.now += frame
		}
		h.voices[i].Hear(h.now, levels[n%len(levels)])
	}
}

func TestHearAllocatesNothing(t *testing.T) {
	if got := testing.AllocsPerRun(10000, hearer(t, 3, 150)); got > 0 {
		t.Errorf("%v allocations", got)
	}
}

func BenchmarkHear(b *testing.B) {
	for name, slots := range map[string]int{"slots=3": 3, "slots=32": 32, "all": 0} {
		b.Run(name, func(b *testing.B) {
			hear := hearer(b, slots, 150)
			b.ReportAllocs()
			for b.Loop() {
				hear()
			}
		})
	}
}
