// Package missing keeps account of packets that did not come: of what a publisher sends
// (Gaps), and of what a client says it misses and this node has not got either (Pending).
//
// Each is asked for after it had time to be merely late, again after a round trip, and a
// few times only: what that does not bring, a keyframe must. A client that asks for what is
// on its way to it already gets nothing (Settled). All are bounded lists, and pure: time is
// an argument, in nanoseconds. The senders of repairs are elsewhere: package rtc asks and
// answers, package relay/rewrite knows what may go twice.
package missing
