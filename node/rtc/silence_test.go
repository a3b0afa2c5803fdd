package rtc

import (
	"testing"

	"maille/relay"
	"maille/relay/audio"
)

// A listener's numbers are without gaps wherever the silence between two packets was
// left out, however long it was, and its clock runs on.
func TestSilenceLeavesNoGap(t *testing.T) {
	const frame = int64(20e6)
	f := newForwarder(Down{Kind: relay.Audio, Mime: "audio/opus"}, 0)
	var seq, last uint16
	var stamp uint32
	now := int64(1e12)
	push := func(silent int, told bool) {
		t.Helper()
		p := relay.NewPacket()
		defer p.Release()
		seq += uint16(silent) + 1
		now += int64(silent+1) * frame
		p.Seq, p.Arrived, p.Timestamp = seq, now, uint32(now/frame*960)
		p.Payload = p.Buffer()[12:92]
		if told {
			p.Omitted = uint16(silent)
		}
		o, why, ok, _, _ := f.pass(p)
		if !ok {
			t.Fatalf("after %d silent packets: dropped, %s", silent, why)
		}
		if last != 0 && o.Seq != last+1 {
			t.Errorf("after %d silent packets: %d follows %d", silent, o.Seq, last)
		}
		if ticks := o.Timestamp - stamp; last != 0 && ticks != uint32(silent+1)*960 {
			t.Errorf("after %d silent packets: %d ticks, want %d", silent, ticks, (silent+1)*960)
		}
		last, stamp = o.Seq, o.Timestamp
	}
	for _, silent := range []int{0, 1, 30, 100, 240} {
		push(silent, true)
		push(0, true)
	}
	// Longer than the count of what was left out, or a sequence number, tells of.
	for _, silent := range []int{300, 3100, 32768, 40000, 65000, 65535, 65536, 200000} {
		push(silent, false)
		push(0, true)
	}
}

// Nor are those of a viewer, when a video goes on with a keyframe after what was left out
// while its publisher was muted, however much that was.
func TestMutedVideoLeavesNoGap(t *testing.T) {
	const frame = int64(40e6)
	f := newForwarder(Down{Kind: relay.Video, Mime: "video/VP8"}, 0)
	var seq, last uint16
	now := int64(1e12)
	push := func(left int, key bool) {
		t.Helper()
		p := relay.NewPacket()
		defer p.Release()
		seq += uint16(left) + 1
		now += int64(left+1) * frame
		p.Seq, p.Arrived, p.Timestamp, p.Omitted = seq, now, uint32(now/frame*3600), uint16(left)
		p.Keyframe, p.FrameStart = key, true
		p.Payload = p.Buffer()[12:112]
		o, why, ok, _, _ := f.pass(p)
		if !ok {
			t.Fatalf("after %d: dropped, %s", left, why)
		}
		if last != 0 && o.Seq != last+1 {
			t.Errorf("after %d: %d follows %d", left, o.Seq, last)
		}
		last = o.Seq
	}
	for _, left := range []int{0, 1, 30, 300, 3100, 32766, 32768, 40000, 63489, 65000, 65535, 65536, 200000} {
		push(left, true)
		push(0, false)
	}
}

func TestAudioLayersWanted(t *testing.T) {
	for _, tc := range []struct {
		name string
		down Down
		want relay.LayerSet
	}{
		{"listener", Down{}, relay.Layer(0, audio.Loud)},
		{"recorder", Down{MaxTemporal: 1}, relay.Layer(0, audio.Loud) | relay.Layer(0, audio.Silent)},
		{"paused", Down{MaxTemporal: 1, Paused: true}, relay.NoLayers},
	} {
		tc.down.Kind, tc.down.Mime = relay.Audio, "audio/opus"
		f := newForwarder(tc.down, 0)
		if got := f.wants(); got != tc.want {
			t.Errorf("%s wants %b, want %b", tc.name, got, tc.want)
		}
	}
}
