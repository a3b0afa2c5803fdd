package relay

import "time"

var started = time.Now()

// Now is the clock of Packet.Arrived and Clock.Arrived: monotonic nanoseconds,
// meaningful on this node only. Loops that read sockets call it; everything
// below them takes the time as an argument.
func Now() int64 { return origin + int64(time.Since(started)) }

// origin keeps the clock positive in synctest bubbles, whose time begins in the year
// 2000, before the process did.
const origin = 1 << 60
