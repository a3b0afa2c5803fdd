package consensus

import "time"

// Timings are Raft's. A dead leader is noticed after one to two Heartbeats, an
// election takes a round trip and, if votes split, one to two Elections more.
type Timings struct {
	Heartbeat time.Duration // silence after which a follower stands for election
	Election  time.Duration // after which a candidate tries again; >= Heartbeat
	Lease     time.Duration // a leader without a quorum's word steps down; <= Heartbeat
	Commit    time.Duration // idle time after which commits are told to followers
	RPC       time.Duration // deadline of one request between servers
}

// DefaultTimings suits round trips up to 100 ms. Measured over 30 ms links: leader
// killed to first commit p50 2.2 s, p95 2.9 s.
var DefaultTimings = Timings{
	Heartbeat: time.Second,
	Election:  time.Second,
	Lease:     500 * time.Millisecond,
	Commit:    50 * time.Millisecond,
	RPC:       3 * time.Second,
}

// perRTT is how many round trips an election timeout spans: Ongaro's thesis asks for
// ten to twenty times the broadcast time.
const perRTT = 10

// ForRTT returns DefaultTimings stretched for the longest round trip between voters.
func ForRTT(rtt time.Duration) Timings {
	t := DefaultTimings
	if h := perRTT * rtt; h > t.Heartbeat {
		t.Heartbeat, t.Election, t.Lease = h, h, h/2
		t.RPC = max(t.RPC, 2*h)
	}
	return t
}

func (t Timings) withDefaults() Timings {
	if t.Heartbeat == 0 {
		t.Heartbeat = DefaultTimings.Heartbeat
	}
	if t.Election == 0 {
		t.Election = max(t.Heartbeat, DefaultTimings.Election)
	}
	if t.Lease == 0 {
		t.Lease = min(t.Heartbeat, DefaultTimings.Lease)
	}
	if t.Commit == 0 {
		t.Commit = DefaultTimings.Commit
	}
	if t.RPC == 0 {
		t.RPC = DefaultTimings.RPC
	}
	return t
}

// ElectionBudget is how long a cluster that keeps its quorum may be without a leader:
// noticing, and a split vote once.
func (t Timings) ElectionBudget() time.Duration { return 2*t.Heartbeat + 2*t.Election }

// SetRTT stretches the timeouts for the longest round trip measured between voters, and
// shrinks them again, never below what Config asked for. The lease stays as configured,
// as raft cannot change it while it runs; being short it errs towards stepping down.
func (c *Consensus) SetRTT(rtt time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.cfg.Timings
	if want := ForRTT(rtt); want.Heartbeat > t.Heartbeat {
		t.Heartbeat, t.Election = want.Heartbeat, max(want.Election, t.Election)
	}
	was := c.timings
	if change := (t.Heartbeat - was.Heartbeat).Abs(); change*5 <= was.Heartbeat && t.Heartbeat != c.cfg.Timings.Heartbeat || change == 0 {
		return // measurements wobble; a fifth is worth a change
	}
	conf := c.raft.ReloadableConfig()
	conf.HeartbeatTimeout, conf.ElectionTimeout = t.Heartbeat, t.Election
	if err := c.raft.ReloadConfig(conf); err != nil {
		c.cfg.Log.Warn("raft timings", "err", err)
		return
	}
	c.timings = t
	c.cfg.Log.Info("raft timings follow the round trips", "rtt", rtt, "heartbeat", t.Heartbeat)
}

// Timings returns the timings in use.
func (c *Consensus) Timings() Timings {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timings
}
