package placement

import (
	"cmp"
	"context"
	"slices"
	"time"

	"maille/mesh/view"
	"maille/placement/consensus"
)

const (
	// maxVoters: a commit waits for the third fastest of five; seven would only make it
	// slower.
	maxVoters = 5
	// settle is how long a node must be in sight before it may vote.
	settle = 10 * time.Second
	// maxLag is how many log entries a new voter may be behind.
	maxLag = 250
	// spareAfter is how long a voter must be out of sight before a spare replaces it.
	spareAfter = 30 * time.Second
	// removeAfter is how long a server must be out of sight before Raft forgets it.
	removeAfter = 24 * time.Hour
)

// step is one change to Raft's servers; they are made one at a time.
type step struct {
	do     func(Log, context.Context, string, string) error
	what   string
	server consensus.Server
	why    string
}

// members is what a step is decided from.
type members struct {
	self    string
	applied uint64 // the leader's
	servers []consensus.Server
	view    view.Snapshot
	page    page
}

// next returns the most urgent change, if any. It is pure. An identity that was replaced
// never returns, so it goes first; nobody votes before having the log.
func (m members) next() (step, bool) {
	for _, s := range m.servers {
		if s.Name == m.self {
			continue
		}
		n, ok := m.view.Node(s.Name)
		switch {
		case ok && n.State == view.Left:
			return step{Log.RemoveServer, "remove", s, "left"}, true
		case ok && n.Incarnation != "" && n.Incarnation != s.Incarnation:
			return step{Log.RemoveServer, "remove", s, "came back with a new store"}, true
		case !ok && m.page.gone(s.Name) >= removeAfter && m.spared(s):
			return step{Log.RemoveServer, "remove", s, "gone"}, true
		}
	}
	for _, n := range m.view.Nodes {
		if n.State != view.Left && n.Incarnation != "" && !m.has(n.Name) {
			return step{Log.AddNonvoter, "add", consensus.Server{Name: n.Name, Incarnation: n.Incarnation}, "new"}, true
		}
	}
	return m.nextVoter()
}

func (m members) nextVoter() (step, bool) {
	want := m.voters()
	complete := true
	for _, s := range m.servers {
		if s.Voter || !slices.Contains(want, s.Name) {
			continue
		}
		complete = false
		if m.ready(s) {
			return step{Log.AddVoter, "promote", s, "spreads the votes"}, true
		}
	}
	if !complete {
		return step{}, false // demoting first would leave fewer
	}
	for _, s := range m.servers {
		if s.Voter && s.Name != m.self && !slices.Contains(want, s.Name) {
			return step{Log.Demote, "demote", s, "others spread the votes better"}, true
		}
	}
	return step{}, false
}

func (m members) has(name string) bool {
	return slices.ContainsFunc(m.servers, func(s consensus.Server) bool { return s.Name == name })
}

// ready reports whether a server may be given a vote now.
func (m members) ready(s consensus.Server) bool {
	rep, ok := m.page.reports[s.Name]
	return ok && fresh(rep.at, m.page.now, reportLife) && rep.incarnation == s.Incarnation &&
		rep.applied+maxLag >= m.applied && m.page.there(s.Name) >= settle
}

// spared reports whether the votes without s still are a majority in sight.
func (m members) spared(s consensus.Server) bool {
	voters, alive := 0, 0
	for _, o := range m.servers {
		if o.Voter && o.Name != s.Name {
			voters++
			if m.page.gone(o.Name) == 0 {
				alive++
			}
		}
	}
	return alive > voters/2
}

// voters returns who shall vote: an odd number up to five of the willing servers,
// spread over regions, those in sight first and those voting already before others. A
// server out of sight keeps its place in the count: a cluster that lost a node does not
// shrink below what it can lose.
func (m members) voters() []string {
	var in, out []voter
	for _, s := range m.servers {
		n, ok := m.view.Node(s.Name)
		v := voter{name: s.Name, region: n.Region, votes: s.Voter}
		switch {
		case ok && !n.Voter:
		case ok || m.page.gone(s.Name) < spareAfter:
			in = append(in, v)
		case s.Voter:
			out = append(out, v)
		}
	}
	count := odd(len(in) + len(out))
	want := spread(in, count)
	for _, v := range out {
		if len(want) < count {
			want = append(want, v.name)
		}
	}
	slices.Sort(want)
	return want
}

func odd(n int) int {
	n = min(n, maxVoters)
	if n > 0 && n%2 == 0 {
		n--
	}
	return n
}

type voter struct {
	name, region string
	votes        bool
}

// spread picks up to count names, one of each region in turn.
func spread(from []voter, count int) []string {
	slices.SortFunc(from, func(a, b voter) int {
		if a.votes != b.votes {
			if a.votes {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.name, b.name)
	})
	var out []string
	taken := make([]bool, len(from))
	for len(out) < min(count, len(from)) {
		regions := map[string]bool{}
		for i, v := range from {
			if !taken[i] && !regions[v.region] && len(out) < count {
				taken[i], regions[v.region] = true, true
				out = append(out, v.name)
			}
		}
	}
	slices.Sort(out)
	return out
}

const (
	// moveGain is what another leader's median round trip must be below, as a share of
	// this one's, to be worth a move.
	moveGain = 0.7
	// moveFloor: below it moving the lead gains nothing people notice.
	moveFloor = 10 * time.Millisecond
)

// betterLeader returns a voter whose median round trip to all nodes is clearly lower.
func (m members) betterLeader() (consensus.Server, bool) {
	mine, ok := median(m.view, m.self)
	if !ok || mine < moveFloor {
		return consensus.Server{}, false
	}
	best, found := consensus.Server{}, false
	limit := time.Duration(float64(mine) * moveGain)
	for _, s := range m.servers {
		n, ok := m.view.Node(s.Name)
		if !s.Voter || s.Name == m.self || !ok || n.State != view.Serving || !m.ready(s) {
			continue
		}
		if d, ok := median(m.view, s.Name); ok && d < limit {
			best, found, limit = s, true, d
		}
	}
	return best, found
}

// longest is the longest known round trip between voters.
func longest(v view.Snapshot, servers []consensus.Server) time.Duration {
	var d time.Duration
	for i, a := range servers {
		for _, b := range servers[:i] {
			if a.Voter && b.Voter {
				d = max(d, v.RTT[view.Pair(a.Name, b.Name)])
			}
		}
	}
	return min(d, maxRTT)
}

// maxRTT is the longest round trip timings follow: twice around the globe. Gossip is a
// hint, and a wrong one must not stop elections.
const maxRTT = 600 * time.Millisecond

// median is of the known round trips from a node to all others; false if fewer than
// half are known.
func median(v view.Snapshot, node string) (time.Duration, bool) {
	var all []time.Duration
	for _, n := range v.Nodes {
		if d, ok := v.RTT[view.Pair(node, n.Name)]; ok && n.Name != node {
			all = append(all, d)
		}
	}
	if len(all) == 0 || 2*len(all) < len(v.Nodes)-1 {
		return 0, false
	}
	slices.Sort(all)
	return all[len(all)/2], true
}
