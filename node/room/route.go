package room

import "slices"

// A track of another node reaches this one by one of three ways: from its origin,
// from the gateway of this node's region (so that a region pair is crossed once), or,
// while a path is cut, through a third node that has it from the origin.
//
// Loops cannot form, whatever the nodes believe of each other: a node serves a track
// it relays to other regions only while it has it from the origin itself, and to its
// own region only while it has it from outside the region (see mayServe). When that
// changes, those served before are let go (see revoke).

// ways is what choosing a track's upstream depends on.
type ways struct {
	self, region string
	origin       string
	// serving lists the nodes of the room by region, in the order placement recorded
	// them; the first that is reachable is its region's gateway.
	serving map[string][]string
	// linked says whether there is a session to a node; avoid, whether it has just
	// refused the track.
	linked, avoid func(node string) bool
}

func (w *ways) usable(node string) bool {
	return node != w.self && w.linked(node) && !w.avoid(node)
}

// upstream names the node to take the track from, "" when there is no way now.
func (w *ways) upstream() string {
	direct := w.usable(w.origin)
	if w.regionOf(w.origin) == w.region && direct {
		return w.origin
	}
	if gateway := w.gateway(); gateway != w.self && gateway != "" {
		return gateway
	}
	if direct {
		return w.origin
	}
	return w.third()
}

// gateway is the node of this region that takes tracks in from other regions.
func (w *ways) gateway() string {
	for _, node := range w.serving[w.region] {
		if node == w.self || w.usable(node) {
			return node
		}
	}
	return ""
}

// third is a node of another region to go through; those of the origin's region
// first, as they are likeliest to have the track from it.
func (w *ways) third() string {
	best := ""
	better := func(a, b string) bool {
		nearA, nearB := w.regionOf(a) == w.regionOf(w.origin), w.regionOf(b) == w.regionOf(w.origin)
		if nearA != nearB {
			return nearA
		}
		return a < b
	}
	for region, nodes := range w.serving {
		if region == w.region {
			continue
		}
		for _, node := range nodes {
			if node != w.origin && w.usable(node) && (best == "" || better(node, best)) {
				best = node
			}
		}
	}
	return best
}

func (w *ways) regionOf(node string) string {
	for region, nodes := range w.serving {
		if slices.Contains(nodes, node) {
			return region
		}
	}
	return ""
}

// mayServe says whether a node that has a track from via may serve it to a requester.
func mayServe(origin, via string, requesterNear, viaNear bool) bool {
	return via == origin || (requesterNear && !viaNear)
}
