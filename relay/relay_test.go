package relay

import (
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func panics(f func()) (did bool) {
	defer func() { did = recover() != nil }()
	f()
	return false
}

func TestPacketIsCounted(t *testing.T) {
	p := NewPacket()
	p.Seq, p.Omitted, p.Payload = 7, 3, p.Buffer()[:10]
	p.Retain()
	p.Release()
	if p.Seq != 7 {
		t.Fatal("gone while held")
	}
	p.Release()
	// Not from the pool, which a miscounted packet would spoil for others.
	if !panics(new(Packet).Release) {
		t.Fatal("released twice and nobody noticed")
	}
	if !panics(new(Packet).Retain) {
		t.Fatal("retained without being held")
	}
}

func TestPacketComesBackClean(t *testing.T) {
	for range 100 {
		p := NewPacket()
		if p.Seq != 0 || p.Omitted != 0 || p.Keyframe || p.HasLevel || p.Payload != nil || p.Descriptor != nil || p.Arrived != 0 {
			t.Fatalf("%+v", p)
		}
		p.Seq, p.Omitted, p.Keyframe, p.HasLevel, p.Arrived = 1, 1, true, true, 1
		p.Payload, p.Descriptor, p.CaptureTime = p.Buffer()[:1], p.Buffer()[:1], p.Buffer()[:1]
		p.Release()
	}
}

// A layer set is a set of layers.
func TestLayerSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spatial := rapid.Uint8Range(0, MaxSpatial-1).Draw(t, "spatial")
		temporal := rapid.Uint8Range(0, MaxTemporal-1).Draw(t, "temporal")
		for s := range uint8(MaxSpatial) {
			for l := range uint8(MaxTemporal) {
				if got := Layer(spatial, temporal).Has(s, l); got != (s == spatial && l == temporal) {
					t.Fatalf("Layer has %d/%d: %v", s, l, got)
				}
				if got := UpTo(spatial, temporal).Has(s, l); got != (s == spatial && l <= temporal) {
					t.Fatalf("UpTo has %d/%d: %v", s, l, got)
				}
				if got := Spatial(spatial).Has(s, l); got != (s == spatial) {
					t.Fatalf("Spatial has %d/%d: %v", s, l, got)
				}
				if !AllLayers.Has(s, l) || NoLayers.Has(s, l) {
					t.Fatalf("all or none, %d/%d", s, l)
				}
			}
			if got := Layer(spatial, temporal).HasSpatial(s); got != (s == spatial) {
				t.Fatalf("HasSpatial(%d): %v", s, got)
			}
		}
	})
}

func TestDropsAreNamed(t *testing.T) {
	var d Drops
	names := map[string]bool{}
	for why := range NumDrops {
		if why.String() == "" || names[why.String()] {
			t.Fatalf("reason %d is called %q", why, why)
		}
		names[why.String()] = true
		d.Add(why)
	}
	if got := len(d.Snapshot()); got != int(NumDrops) {
		t.Fatalf("%d reasons counted", got)
	}
	if NumDrops.String() != "invalid" {
		t.Fatal("a reason beyond the list has a name")
	}
}

func TestNowGoesForward(t *testing.T) {
	a := Now()
	if b := Now(); b < a {
		t.Fatalf("%d after %d", b, a)
	}
}
