// Package allocate divides what a client's path carries among the video it watches:
// something of as many tracks as possible, then more for what matters most. It is
// pure: the budget and what is wanted go in, a choice of layers for each track comes
// out. Audio is not asked for here: it always passes.
package allocate

import (
	"cmp"
	"math"
	"slices"
	"time"

	"maille/relay"
)

// Class orders tracks: of two, the higher one gets its layers first.
type Class uint8

const (
	Thumbnail Class = iota // somebody who does not speak; the zero value
	Screen
	Speaker
)

// Choice is what is sent of a track.
type Choice struct {
	On                bool
	Spatial, Temporal uint8 // highest layers
}

// Rates are bytes per second: what each spatial layer costs with its temporal layers up
// to an index. For SVC the layers below are part of it.
type Rates [relay.MaxSpatial][relay.MaxTemporal]float64

// Track is one track that the client watches and does not pause.
type Track struct {
	Class Class
	// Want is the most that the client asks for.
	Want Choice
	// Has is the choice of the time before.
	Has Choice
	// Lowered is when the track was last given less, 0 for never.
	Lowered int64
	// Tries is how often in a row more was soon taken back: then it stays as it is for
	// longer.
	Tries int
	// Keep forbids to pause it: then it gets at least its lowest layer, whatever the
	// budget.
	Keep  bool
	Rates Rates
}

const (
	// raiseMargin is free of the budget after something was raised: rates vary.
	raiseMargin = 1.08
	// keepMargin is how much what is sent may exceed the budget before it is lowered: the
	// budget's owner sees the queue that real excess makes.
	keepMargin = 1.05
	// raiseAfter is how long a lowered track stays so, returnAfter how long one that was
	// paused.
	raiseAfter  = int64(2 * time.Second)
	returnAfter = int64(500 * time.Millisecond)
	// mostTries that are counted: each doubles raiseAfter. A path that is free again is to be
	// found within some fifteen seconds.
	mostTries = 2
)

// steps of a track, from nothing: its lowest layer at the lowest frame rate, at the full
// one, then picture sizes.
const (
	off = iota
	slow
	small
)

// choice returns what a step is.
func (t *Track) choice(step int) Choice {
	switch step {
	case off:
		return Choice{}
	case slow:
		return Choice{On: true}
	}
	return Choice{On: true, Spatial: uint8(step - small), Temporal: t.Want.Temporal}
}

// top is the last step.
func (t *Track) top() int { return small + int(t.Want.Spatial) }

func (t *Track) cost(step int) float64 {
	c := t.choice(step)
	if !c.On {
		return 0
	}
	return t.Rates[c.Spatial][c.Temporal]
}

// costHas is what the choice of the time before costs.
func (t *Track) costHas() float64 {
	if !t.Has.On {
		return 0
	}
	return t.Rates[min(t.Has.Spatial, t.Want.Spatial)][min(t.Has.Temporal, t.Want.Temporal)]
}

// Allocator divides budgets. Its buffers are used again; it is not safe for concurrent
// use. The zero value is ready.
type Allocator struct {
	order []int
	steps []int
	spent float64
	// short is what the first raise that did not fit would cost more.
	short float64
}

// Divide chooses for each track, into out. spent is what that costs. missing is the
// budget that would be needed for the next raise, 0 when nobody goes short. Tracks that
// are alike keep their order, so the caller gives them in one that lasts.
func (a *Allocator) Divide(now int64, budget float64, tracks []Track, out []Choice) (spent, missing float64) {
	a.order, a.steps, a.spent, a.short = a.order[:0], a.steps[:0], 0, 0
	for i := range tracks {
		a.order, a.steps = append(a.order, i), append(a.steps, off)
	}
	slices.SortStableFunc(a.order, func(x, y int) int {
		s, t := &tracks[x], &tracks[y]
		if s.Class != t.Class {
			return cmp.Compare(t.Class, s.Class)
		}
		return cmp.Compare(on(t.Has), on(s.Has)) // who is seen stays
	})
	for _, step := range []int{slow, small} {
		for _, i := range a.order {
			a.raise(now, budget, tracks, i, step)
		}
	}
	for class := Speaker; ; class-- {
		// Layer by layer among equals.
		for step := small + 1; step < small+relay.MaxSpatial; step++ {
			for _, i := range a.order {
				if tracks[i].Class == class {
					a.raise(now, budget, tracks, i, step)
				}
			}
		}
		if class == Thumbnail {
			break
		}
	}
	for i, step := range a.steps {
		out[i] = tracks[i].choice(step)
	}
	if a.short > 0 {
		missing = (a.spent + a.short) * raiseMargin
	}
	return a.spent, missing
}

func on(c Choice) int {
	if c.On {
		return 1
	}
	return 0
}

// raise lifts a track by one step if that fits.
func (a *Allocator) raise(now int64, budget float64, tracks []Track, i, step int) {
	t := &tracks[i]
	if step > t.top() || a.steps[i] != step-1 {
		return
	}
	cost := t.cost(step)
	more := max(cost-t.cost(step-1), 0)
	fresh := cost > t.costHas() || !t.Has.On
	margin, wait := keepMargin, raiseAfter<<min(t.Tries, mostTries)
	if fresh {
		margin = 1 / raiseMargin
	}
	if step == slow {
		wait = returnAfter
	}
	switch {
	case step == slow && t.Keep:
	case a.spent+more > budget*margin:
		if a.short == 0 {
			a.short = max(more, math.SmallestNonzeroFloat64)
		}
		return
	case fresh && more > 0 && t.Lowered != 0 && now-t.Lowered < wait:
		return
	}
	a.steps[i] = step
	a.spent += more
}
