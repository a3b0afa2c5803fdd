package audio

import (
	"sync"
	"sync/atomic"
)

const (
	// Default is how many voices a room hears unless it is told otherwise: more at once
	// are not understood.
	Default = 3
	// MaxLoudest bounds the slots of a ranking, which every packet looks through.
	MaxLoudest = 32
	// Overlap is how many voices may pass beyond the slots, while they leave.
	Overlap = 2
)

// What is speech and what is not. Levels are decibels below overload.
const (
	// floor is no sound: rooms with an open microphone are louder.
	floor = 80
	// ceiling is believed at most: speech is rarely louder, and who claims to be is no
	// louder for it.
	ceiling = 15
	// speech begins 50 below overload, in decibels above the floor. Soft voices and far
	// microphones are above it, quiet rooms below.
	speech = floor - 50
	// Speech varies by variation decibels at every syllable. Sound that has not for
	// steadyAfter is a fan, or a sender that lies about its level: it counts as no speech
	// and as quieter by steadyCost decibels, until it varies again.
	variation   = 10
	steadyAfter = 3 * second
	steadyCost  = 40
)

// How a slot changes hands.
const (
	// pause is how long someone who speaks may stop between words. After that the slot
	// is for anyone who speaks.
	pause = 300 * second / 1000
	// margin in decibels is how much louder than another one has to be to take the slot
	// of someone who speaks. fadeRate is how fast what was heard is forgotten, in decibels
	// per second: slow against margin, so that voices about as loud leave each other alone.
	margin   = 6
	fadeRate = 6
	// hold is how long a voice keeps its slot in silence, or without packets, when nobody
	// asks for it: a pause between sentences.
	hold = second
	// stay is how long a voice passes at least once it does, tail how long after it lost
	// its slot, so that words end.
	stay = 600 * second / 1000
	tail = 200 * second / 1000
)

// Ranking tells which voices of a room are the loudest. A voice keeps one of the slots
// as long as it speaks, until another is louder by a margin. A newcomer takes a free
// slot, or that of someone who does not speak, with its first packet, and the slot of
// a weaker speaker with its second: a click takes none. The voice it replaces passes
// for a moment longer, Overlap of them at once, which bounds how fast slots change
// hands.
//
// Levels are the senders' own words, so the ranking limits what a lie can win: levels
// beyond those of speech count no more, one owner holds one slot, and sound that never
// varies gives way to speech. A sender that feigns loud speech keeps one slot.
//
// Packets of different voices may be heard by different goroutines. Only a change of
// slots takes a lock.
type Ranking struct {
	limit atomic.Int32 // 0: all pass
	slots [MaxLoudest]atomic.Pointer[Voice]

	mu      sync.Mutex // guards every write of slots and Voice.inside, and what follows
	leaving [Overlap]*Voice
}

// NewRanking returns a ranking of n slots; 0 lets all pass.
func NewRanking(n int) *Ranking {
	r := new(Ranking)
	r.SetLimit(n)
	return r
}

// SetLimit changes the number of slots; 0 lets all pass.
func (r *Ranking) SetLimit(n int) {
	n = min(max(n, 0), MaxLoudest)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.limit.Store(int32(n))
	for i := n; i < len(r.slots); i++ {
		if v := r.slots[i].Swap(nil); v != nil {
			v.inside.Store(false)
		}
	}
}

// Add returns a voice for a track of an owner, such as a participant's identity.
// relayed says that it comes from another node, which ranked it too: to wait here
// again for a second packet would cut words by one more packet at each hop.
func (r *Ranking) Add(owner string, relayed bool) *Voice {
	return &Voice{ranking: r, owner: owner, relayed: relayed}
}

// admits tells without a lock whether the bid may win a slot.
func (r *Ranking) admits(b bid) bool {
	_, ok := r.weakest(b)
	return ok
}

// weakest returns the slot to take, true if the bid wins it.
func (r *Ranking) weakest(b bid) (slot int, ok bool) {
	var quiet, weak *Voice
	atQuiet, atWeak := 0, 0
	for i := range int(r.limit.Load()) {
		h := r.slots[i].Load()
		if h == nil || h.gone(b.now) {
			return i, true
		}
		if quiet == nil || h.spoke.Load() < quiet.spoke.Load() {
			quiet, atQuiet = h, i
		}
		if weak == nil || h.fades.Load() < weak.fades.Load() {
			weak, atWeak = h, i
		}
	}
	switch {
	case quiet == nil:
		return 0, false // the limit has just become 0
	case b.speaksOver(quiet):
		return atQuiet, true
	}
	return atWeak, b.louder(weak)
}

// speaksOver tells whether the bid is of one who speaks, and h does not.
func (b bid) speaksOver(h *Voice) bool { return b.speaks && b.now-h.spoke.Load() > pause }

// louder tells whether the bid wins over h by loudness.
func (b bid) louder(h *Voice) bool { return b.fades >= h.fades.Load()+margin*dB }

// enter gives v a slot if its bid wins one.
func (r *Ranking) enter(v *Voice, b bid) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	slot, ok := r.weakest(b)
	for i := range int(r.limit.Load()) {
		if h := r.slots[i].Load(); h != nil && h.owner == v.owner && !h.gone(b.now) {
			slot, ok = i, b.speaksOver(h) || b.louder(h)
		}
	}
	if !ok {
		return false
	}
	if h := r.slots[slot].Load(); h != nil && !r.dismiss(h, b.now) {
		return false
	}
	v.since = b.now
	v.inside.Store(true)
	r.slots[slot].Store(v)
	return true
}

// dismiss takes a voice's slot; false when too many are leaving already. The caller
// holds mu.
func (r *Ranking) dismiss(h *Voice, now int64) bool {
	if h.gone(now) {
		h.inside.Store(false)
		return true
	}
	for i, l := range r.leaving {
		if l == nil || l.inside.Load() || l.until.Load() <= now {
			r.leaving[i] = h
			h.until.Store(max(now+tail, h.since+stay))
			h.inside.Store(false)
			return true
		}
	}
	return false
}

// leave frees the voice's slot.
func (r *Ranking) leave(v *Voice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.slots {
		if r.slots[i].Load() == v {
			r.slots[i].Store(nil)
		}
	}
	v.inside.Store(false)
}
