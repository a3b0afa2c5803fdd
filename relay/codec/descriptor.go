package codec

import "errors"

const (
	// mandatoryDescriptor is the size of a descriptor without extended fields.
	mandatoryDescriptor = 3

	// The field widths of the AV1 RTP spec bound a structure: 64 templates, 32 decode
	// targets. Spatial layers are two bits in the bitstream, temporal three.
	maxTemplates     = 64
	maxDecodeTargets = 32
	maxSpatialIDs    = 4
	maxTemporalIDs   = 8
)

// ErrDescriptor is the error of a dependency descriptor that is cut short, exceeds
// the bounds of the spec or refers to a structure that was not seen.
var ErrDescriptor = errors.New("codec: dependency descriptor cannot be read")

// DTI is how a frame serves a decode target (AV1 RTP spec, table A.2).
type DTI uint8

const (
	NotPresent DTI = iota
	Discardable
	SwitchTo
	Required
)

// Structure is the template dependency structure that a keyframe's descriptor
// carries and later ones refer to (AV1 RTP spec, A.8.3).
type Structure struct {
	offset    uint8
	Targets   int // decode targets
	chains    int
	templates int
	layers    [maxTemplates]struct{ spatial, temporal uint8 }
	dtis      [maxTemplates][maxDecodeTargets]DTI

	// Layers holds the highest spatial and temporal layer of each decode target.
	Layers [maxDecodeTargets]struct{ Spatial, Temporal uint8 }
	// Width and Height are in pixels by spatial layer, 0 when not told.
	Width, Height [maxSpatialIDs]int
}

// Descriptor is a dependency descriptor, as far as a forwarder needs it.
type Descriptor struct {
	Start, End bool // first, last packet of a layer's frame
	Frame      uint16
	// Structured is true when a structure came with it: the frame is a keyframe.
	Structured        bool
	Spatial, Temporal uint8
	// Switch is true where a decoder may move up to this frame's layer.
	Switch bool
	// Lift is the mask of temporal layers that a decoder of this frame may move up to.
	Lift uint8
	// Active is the mask of decode targets that the sender still produces, valid when
	// HasActive.
	Active    uint32
	HasActive bool
}

// ParseDescriptor reads a dependency descriptor (AV1 RTP spec, appendix A). known is
// the structure in force, nil when none; one that comes with the descriptor is
// written to fresh, whose content is undefined after an error. The error is
// ErrDescriptor.
func ParseDescriptor(b []byte, known, fresh *Structure) (Descriptor, error) {
	r := bits{b: b}
	d := Descriptor{Start: r.flag(), End: r.flag()}
	template := uint8(r.get(6))
	d.Frame = uint16(r.get(16))
	var customDTIs bool
	s := known
	if len(b) > mandatoryDescriptor {
		d.Structured, d.HasActive = r.flag(), r.flag()
		customDTIs = r.flag()
		r.get(2) // custom frame differences and chains come last, and are of no use here
		if d.Structured {
			if !fresh.read(&r) {
				return d, ErrDescriptor
			}
			s = fresh
			d.Active = uint32(1<<s.Targets - 1)
		}
	}
	if s == nil || r.short {
		return d, ErrDescriptor
	}
	if d.HasActive {
		d.Active = r.get(s.Targets)
	} else if d.Structured {
		d.HasActive = true
	}
	i := int((template - s.offset) % maxTemplates)
	if i >= s.templates {
		return d, ErrDescriptor
	}
	d.Spatial, d.Temporal = s.layers[i].spatial, s.layers[i].temporal
	for target := range s.Targets {
		dti := s.dtis[i][target]
		if customDTIs {
			dti = DTI(r.get(2))
		}
		if at := s.Layers[target]; dti == SwitchTo && at.Spatial == d.Spatial {
			d.Lift |= 1 << at.Temporal
		}
	}
	d.Switch = d.Lift&(1<<d.Temporal) != 0
	if r.short {
		return d, ErrDescriptor
	}
	return d, nil
}

// read fills s from a template dependency structure, false when it is out of bounds.
func (s *Structure) read(r *bits) bool {
	s.offset = uint8(r.get(6))
	s.Targets = int(r.get(5)) + 1
	highest, ok := s.readLayers(r)
	if !ok {
		return false
	}
	for i := range s.templates {
		for target := range s.Targets {
			s.dtis[i][target] = DTI(r.get(2))
		}
	}
	for range s.templates {
		for r.flag() { // frame differences
			r.get(4)
		}
	}
	if s.chains = int(r.nonSymmetric(uint32(s.Targets) + 1)); s.chains > 0 {
		for range s.Targets {
			r.nonSymmetric(uint32(s.chains))
		}
		for range s.templates * s.chains {
			r.get(4)
		}
	}
	s.findTargets()
	s.Width, s.Height = [maxSpatialIDs]int{}, [maxSpatialIDs]int{}
	if r.flag() {
		for spatial := range highest + 1 {
			s.Width[spatial], s.Height[spatial] = int(r.get(16))+1, int(r.get(16))+1
		}
	}
	return !r.short
}

// readLayers reads which layer each template is of and returns the highest spatial.
func (s *Structure) readLayers(r *bits) (highest uint8, ok bool) {
	var spatial, temporal uint8
	for s.templates = 0; s.templates < maxTemplates; {
		s.layers[s.templates].spatial, s.layers[s.templates].temporal = spatial, temporal
		s.templates++
		switch r.get(2) {
		case 1:
			temporal++
		case 2:
			spatial, temporal = spatial+1, 0
		case 3:
			return spatial, true
		}
		if r.short || spatial >= maxSpatialIDs || temporal >= maxTemporalIDs {
			return 0, false
		}
	}
	return 0, false
}

// findTargets derives the layer of each decode target: the highest of the templates
// present in it.
func (s *Structure) findTargets() {
	for target := range s.Targets {
		s.Layers[target].Spatial, s.Layers[target].Temporal = 0, 0
		at := &s.Layers[target]
		for i := range s.templates {
			if s.dtis[i][target] != NotPresent {
				at.Spatial = max(at.Spatial, s.layers[i].spatial)
				at.Temporal = max(at.Temporal, s.layers[i].temporal)
			}
		}
	}
}
