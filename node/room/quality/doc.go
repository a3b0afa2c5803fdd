// Package quality judges how well clients are connected.
//
// Each node judges its own, from what its peer connections count anyway: Counted turns
// counters into what an interval brought, Strain gathers what a client suffered in it, in
// the direction that suffered most, and its Verdict is what a person would say of the
// sound. The nodes tell each other; Verdicts is the union, and knows what clients have not
// heard yet.
package quality
