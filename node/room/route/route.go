package route

import "slices"

// Ways is what choosing a track's upstream depends on.
type Ways struct {
	Self, Region string // this node
	Origin       string // where the track is published
	// Serving lists the nodes of the room by region, in the order placement recorded
	// them; the first that is reachable is its region's gateway.
	Serving map[string][]string
	// Linked says whether there is a session to a node; Avoid, whether it has just
	// refused the track.
	Linked, Avoid func(node string) bool
}

func (w *Ways) usable(node string) bool {
	return node != w.Self && w.Linked(node) && !w.Avoid(node)
}

// Upstream names the node to take the track from, "" when there is no way now.
func (w *Ways) Upstream() string {
	direct := w.usable(w.Origin)
	if w.regionOf(w.Origin) == w.Region && direct {
		return w.Origin
	}
	if gateway := w.gateway(); gateway != w.Self && gateway != "" {
		return gateway
	}
	if direct {
		return w.Origin
	}
	return w.third()
}

// gateway is the node of this region that takes tracks in from other regions.
func (w *Ways) gateway() string {
	for _, node := range w.Serving[w.Region] {
		if node == w.Self || w.usable(node) {
			return node
		}
	}
	return ""
}

// third is a node to go through; those of the origin's region first, as they are likeliest
// to have the track from it, and in that region itself another of it. Of a region that
// is not the origin's the nodes have it from their gateway, which is what this node is.
func (w *Ways) third() string {
	best := ""
	better := func(a, b string) bool {
		nearA, nearB := w.regionOf(a) == w.regionOf(w.Origin), w.regionOf(b) == w.regionOf(w.Origin)
		if nearA != nearB {
			return nearA
		}
		return a < b
	}
	for region, nodes := range w.Serving {
		if region == w.Region && region != w.regionOf(w.Origin) {
			continue
		}
		for _, node := range nodes {
			if node != w.Origin && w.usable(node) && (best == "" || better(node, best)) {
				best = node
			}
		}
	}
	return best
}

func (w *Ways) regionOf(node string) string {
	for region, nodes := range w.Serving {
		if slices.Contains(nodes, node) {
			return region
		}
	}
	return ""
}

// MayServe says whether a node that has a track from via may serve it to a requester:
// requesterNear and viaNear tell which of them are of the node's own region.
func MayServe(origin, via string, requesterNear, viaNear bool) bool {
	return via == origin || (requesterNear && !viaNear)
}
