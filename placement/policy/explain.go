package policy

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"maille/mesh/view"
)

// Refusal is why a node was not even scored; empty if it was.
type Refusal string

const (
	RefusedRegion Refusal = "region not allowed"
	RefusedAvoid  Refusal = "just failed"
	// Others are the node's own state: "draining", "left".
)

// Row is one node's score. All parts are in milliseconds; less is better.
type Row struct {
	Node    string
	Region  string
	Serves  bool
	Refused Refusal

	Access   float64 // one way, participant to node
	Mesh     float64 // one way, node to the nodes already serving, mean
	Crossing float64 // the participant's own path leaves the region
	New      float64 // the node does not serve the room yet
	Load     float64 // CPU without headroom, and participants

	tie uint64
}

// Eligible reports whether the node may be chosen.
func (r Row) Eligible() bool { return r.Refused == "" }

// Near reports whether the node is in the participant's own region.
func (r Row) Near() bool { return r.Crossing == 0 }

// Full reports whether the node has only its headroom left.
func (r Row) Full() bool { return r.Load >= fullCost }

// Cost is the sum of the parts.
func (r Row) Cost() float64 { return r.Access + r.Mesh + r.Crossing + r.New + r.Load }

// Why tells in words what the cost is made of.
func (r Row) Why() string {
	if !r.Eligible() {
		return string(r.Refused)
	}
	var why []string
	if r.Near() {
		why = append(why, "own region")
	} else {
		why = append(why, "other region")
	}
	if r.Serves {
		why = append(why, "serves the room")
	}
	switch {
	case r.Full():
		why = append(why, "full")
	case r.Load >= hotCost/4:
		why = append(why, "busy")
	}
	return strings.Join(why, ", ")
}

// Print writes rows as the table operators read.
func Print(w io.Writer, rows []Row) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "node\tregion\tcost\taccess\tmesh\tcrossing\tnew\tload\twhy")
	for _, r := range rows {
		if !r.Eligible() {
			fmt.Fprintf(t, "%s\t%s\t-\t\t\t\t\t\t%s\n", r.Node, r.Region, r.Why())
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t%.0f\t%.1f\t%s\n",
			r.Node, r.Region, r.Cost(), r.Access, r.Mesh, r.Crossing, r.New, r.Load, r.Why())
	}
	return t.Flush()
}

// at is where a participant stands in the mesh: some nodes near it, and the region it
// is in, if any node is there.
type at struct {
	region string
	near   []view.Node
}

// client places the participant: in its region if nodes are there, else at the entry,
// else nowhere.
func client(v view.Snapshot, req Request) at {
	if in := v.InRegion(req.Region); req.Region != "" && len(in) > 0 {
		return at{region: req.Region, near: in}
	}
	if n, ok := v.Node(req.Entry); ok {
		return at{region: n.Region, near: v.InRegion(n.Region)}
	}
	return at{}
}

func (r *Row) score(v view.Snapshot, n view.Node, c at, serving []view.Node, req Request) {
	if n.Region == c.region {
		// Any node of the region is as near as the next; what the access network adds
		// is the same for all of them.
		r.Access = ms(localRTT) / 2
	} else {
		r.Access = ms(nearest(v, c.near, n)) / 2
		r.Crossing = crossing
	}
	var sum float64
	others := 0
	for _, s := range serving {
		if s.Name != n.Name {
			sum += ms(rtt(v, s, n)) / 2
			others++
		}
	}
	if others > 0 {
		r.Mesh = sum / float64(others)
	}
	if !r.Serves {
		r.New = newNode
	}
	r.Load = perParticipant * float64(max(0, n.Load.Participants)+req.Recent[n.Name])
	switch cpu := n.Load.CPU; {
	case cpu >= fullCPU:
		r.Load += fullCost * (1 + min(cpu, 1))
	case cpu > freeCPU:
		x := (cpu - freeCPU) / (fullCPU - freeCPU)
		r.Load += hotCost * x * x
	}
}

// nearest is the shortest round trip from any of the nodes to n.
func nearest(v view.Snapshot, from []view.Node, n view.Node) time.Duration {
	best := unknownRTT
	for i, f := range from {
		if d := rtt(v, f, n); i == 0 || d < best {
			best = d
		}
	}
	return best
}

func rtt(v view.Snapshot, a, b view.Node) time.Duration {
	if d, ok := v.RTT[view.Pair(a.Name, b.Name)]; ok && d >= 0 {
		return d
	}
	if a.Region == b.Region {
		return localRTT
	}
	return unknownRTT
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
