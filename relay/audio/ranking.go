package audio

import (
	"math"
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
	// speech is what takes a slot at its first packet from a voice that is below it: 50
	// below overload, in decibels above the floor.
	speech = floor - 50
)

// How a slot changes hands.
const (
	// fadeRate is how fast what was heard is forgotten, in decibels per second. A pause
	// between two words costs less than margin.
	fadeRate = 12
	// margin in decibels is how much louder than the weakest voice another has to be. It
	// is more than fades while a packet crosses the mesh, so that two nodes cannot each
	// hold the other's voice for the louder one.
	margin = 6
	// hold is how long a voice keeps its slot in silence, or without packets: a pause
	// between sentences.
	hold = second
	// stay is how long a voice passes at least once it does, tail how long after it lost
	// its slot, so that words end.
	stay = 600 * second / 1000
	tail = 200 * second / 1000
)

// Sound that does not vary is no speech: a fan, or a sender that lies about its level.
const (
	// variation in decibels is what speech does at every syllable.
	variation = 10
	// steadyAfter is how long sound may go on without it. Then it is taken for quieter by
	// steadyCost decibels, which leaves its slot to whoever speaks, as long as it lasts.
	steadyAfter = 3 * second
	steadyCost  = 40
)

// Ranking tells which voices of a room are the loudest. A voice keeps one of the slots
// until another is louder by a margin, or it falls silent. A newcomer takes a free
// slot with its first packet, and the slot of a weaker voice with its second, so that
// a click takes none. The voice it replaces passes for a moment longer, Overlap of
// them at once, which bounds how fast slots change hands.
//
// Levels are the senders' own words, so the ranking limits what a lie can win: levels
// beyond those of speech count no more, one owner holds one slot, and sound that never
// varies gives way to any that does. A sender that feigns loud speech keeps one slot.
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
func (r *Ranking) Add(owner string) *Voice { return &Voice{ranking: r, owner: owner} }

// admits tells without a lock whether the bid may win a slot.
func (r *Ranking) admits(now int64, b bid) bool {
	_, ok := r.weakest(now, b)
	return ok
}

// weakest returns the slot to take, true if the bid wins it.
func (r *Ranking) weakest(now int64, b bid) (slot int, ok bool) {
	least := int64(math.MaxInt64)
	for i := range int(r.limit.Load()) {
		h := r.slots[i].Load()
		if h == nil || h.gone(now) {
			return i, true
		}
		if fades := h.fades.Load(); fades < least {
			slot, least = i, fades
		}
	}
	return slot, b.beats(now, least)
}

// beats tells whether the bid wins over a voice.
func (b bid) beats(now, fades int64) bool {
	offer := b.lasting
	if fades-now < speech*dB {
		offer = max(offer, b.instant)
	}
	return offer >= fades+margin*dB
}

// gone tells whether the voice has lost its claim to a slot.
func (v *Voice) gone(now int64) bool { return now-v.heard.Load() > hold }

// enter gives v a slot if its bid wins one.
func (r *Ranking) enter(v *Voice, now int64, b bid) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	slot, ok := r.weakest(now, b)
	for i := range int(r.limit.Load()) {
		if h := r.slots[i].Load(); h != nil && h.owner == v.owner && !h.gone(now) {
			slot, ok = i, b.beats(now, h.fades.Load())
		}
	}
	if !ok {
		return false
	}
	if h := r.slots[slot].Load(); h != nil && !r.dismiss(h, now) {
		return false
	}
	v.since = now
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
