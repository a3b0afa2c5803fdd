package gossip

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/serf/coordinate"
	"google.golang.org/protobuf/proto"

	"maille/mesh/view"
	meshpb "maille/proto/mesh"
)

const (
	// samples of a direct probe whose median is the measured round-trip time: one
	// late answer in five does not move it.
	samples = 5
	// maxCoordinate bounds an encoded coordinate, bytes.
	maxCoordinate = 128
	// maxSpan bounds each part of a coordinate, seconds: no path on earth is longer.
	maxSpan = 10
	// maxError is the error above which a coordinate says nothing yet. It starts at
	// 1.5 and is under 0.5 after some dozen probes.
	maxError = 0.8
)

// vivaldi holds what is known of distances: measured to the nodes this one probes,
// estimated between two others from the coordinates they answer with.
type vivaldi struct {
	client *coordinate.Client
	dims   int

	mu    sync.Mutex // guards peers
	peers map[string]*distance
}

type distance struct {
	at    *coordinate.Coordinate // nil until heard
	times []time.Duration        // newest last
}

func newVivaldi() *vivaldi {
	c := coordinate.DefaultConfig()
	client, err := coordinate.NewClient(c)
	if err != nil {
		panic(err) // only a dimension of 0 fails
	}
	return &vivaldi{client: client, dims: int(c.Dimensionality), peers: map[string]*distance{}}
}

// measured takes in one answered probe. The coordinate may be missing.
func (v *vivaldi) measured(name string, rtt time.Duration, payload []byte) error {
	if rtt < 0 {
		return nil
	}
	at, err := v.decode(payload)
	if err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	d := v.peers[name]
	if d == nil {
		d = &distance{}
		v.peers[name] = d
	}
	if len(d.times) == samples {
		d.times = slices.Delete(d.times, 0, 1)
	}
	d.times = append(d.times, rtt)
	if at == nil {
		return nil
	}
	d.at = at
	if _, err := v.client.Update(name, at, rtt); err != nil {
		return fmt.Errorf("gossip: coordinate: %w", err)
	}
	return nil
}

func (v *vivaldi) forget(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.peers, name)
	v.client.ForgetNode(name)
}

// pairs returns the round-trip time of every pair that something is known of.
func (v *vivaldi) pairs(self string, nodes []view.Node) map[[2]string]time.Duration {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[[2]string]time.Duration{}
	for i, a := range nodes {
		d := v.peers[a.Name]
		if d == nil {
			continue
		}
		out[view.Pair(self, a.Name)] = median(d.times)
		for _, b := range nodes[:i] {
			if e := v.peers[b.Name]; e != nil && known(d.at) && known(e.at) {
				out[view.Pair(a.Name, b.Name)] = d.at.DistanceTo(e.at)
			}
		}
	}
	return out
}

func known(c *coordinate.Coordinate) bool { return c != nil && c.Error < maxError }

func median(times []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(times))
	return s[len(s)/2]
}

// encode returns this node's own coordinate.
func (v *vivaldi) encode() []byte {
	c := v.client.GetCoordinate()
	p := &meshpb.Coordinate{Error: float32(c.Error), Adjustment: float32(c.Adjustment), Height: float32(c.Height)}
	for _, x := range c.Vec {
		p.Vec = append(p.Vec, float32(x))
	}
	return marshal(p)
}

// decode returns nil for an empty payload.
func (v *vivaldi) decode(b []byte) (*coordinate.Coordinate, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if len(b) > maxCoordinate {
		return nil, fmt.Errorf("gossip: coordinate of %d bytes", len(b))
	}
	var p meshpb.Coordinate
	if err := proto.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("gossip: coordinate: %w", err)
	}
	if len(p.Vec) != v.dims {
		return nil, fmt.Errorf("gossip: coordinate of %d dimensions, not %d", len(p.Vec), v.dims)
	}
	c := &coordinate.Coordinate{Error: float64(p.Error), Adjustment: float64(p.Adjustment), Height: float64(p.Height)}
	for _, x := range append([]float32{p.Error, p.Adjustment, p.Height}, p.Vec...) {
		if math.IsNaN(float64(x)) || math.Abs(float64(x)) > maxSpan {
			return nil, fmt.Errorf("gossip: coordinate out of range")
		}
	}
	if p.Error < 0 || p.Height < 0 {
		return nil, fmt.Errorf("gossip: coordinate with a negative error or height")
	}
	for _, x := range p.Vec {
		c.Vec = append(c.Vec, float64(x))
	}
	return c, nil
}
