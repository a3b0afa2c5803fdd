package rtc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pion/rtcp"

	"maille/relay"
)

func TestAskedReads(t *testing.T) {
	b, err := rtcp.Marshal([]rtcp.Packet{
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{
			{SSRC: 8, FractionLost: 1}, {SSRC: 7, FractionLost: 64, TotalLost: 300, LastSequenceNumber: 70000, Jitter: 9, LastSenderReport: 5, Delay: 6},
		}},
		&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 65535, LostPackets: 0b101}}},
		&rtcp.TransportLayerNack{MediaSSRC: 8, Nacks: []rtcp.NackPair{{PacketID: 1}}},
		&rtcp.FullIntraRequest{MediaSSRC: 0, FIR: []rtcp.FIREntry{{SSRC: 7, SequenceNumber: 1}}},
		&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: 1, Bitrate: 768_000, SSRCs: []uint32{7, 8}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var a asked
	a.read(b, 7)
	want := asked{
		remb: 768_000, nacks: []uint16{65535, 0, 2}, keyframe: true, lsr: 5, delay: 6,
		report: &Heard{Fraction: 64, Lost: 300, Highest: 70000, Jitter: 9},
	}
	if d := cmp.Diff(want, a, cmp.AllowUnexported(asked{})); d != "" {
		t.Error(d)
	}
	a.read(b, 9)
	if len(a.nacks) != 0 || a.keyframe || a.report != nil {
		t.Errorf("of another stream: %+v", a)
	}
}

// A client that sends on the connection it receives on reports in its sender reports.
func TestAskedReadsSenderReports(t *testing.T) {
	b, err := rtcp.Marshal([]rtcp.Packet{&rtcp.SenderReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 7, FractionLost: 64, LastSenderReport: 5, Delay: 6}}}})
	if err != nil {
		t.Fatal(err)
	}
	var a asked
	a.read(b, 7)
	if d := cmp.Diff(asked{lsr: 5, delay: 6, report: &Heard{Fraction: 64}}, a, cmp.AllowUnexported(asked{})); d != "" {
		t.Error(d)
	}
}

func FuzzAsked(f *testing.F) {
	b, _ := rtcp.Marshal([]rtcp.Packet{
		&rtcp.PictureLossIndication{MediaSSRC: 7},
		&rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 7}}},
		&rtcp.SenderReport{Reports: []rtcp.ReceptionReport{{SSRC: 7}}},
	})
	f.Add([]byte{0x81, 200, 0, 1, 0, 0, 0, 0}, uint32(0))
	f.Add(b, uint32(7))
	b, _ = rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e18, SSRCs: []uint32{7}}})
	f.Add(b, uint32(7))
	f.Add([]byte{0x81, 205, 0xff, 0xff, 0, 0, 0, 0}, uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, ssrc uint32) {
		var a asked
		a.read(b, ssrc)
		if len(a.nacks) > maxNackedAtOnce {
			t.Errorf("%d nacks", len(a.nacks))
		}
		senderReport(b, ssrc)
	})
}

func TestRepairBudget(t *testing.T) {
	var r repairBudget
	drain := func() (got int) {
		for r.take(1000) {
			got += 1000
		}
		return got
	}
	if got := drain(); got > repairStart || got < repairStart/2 {
		t.Errorf("%d bytes without credit", got)
	}
	r.credit(100_000)
	if got := drain(); got > 100_000/repairShare+1000 || got == 0 {
		t.Errorf("%d bytes for a credit of 100,000", got)
	}
	r.credit(1 << 30)
	if got := drain(); got > repairBurst || got < repairBurst/2 {
		t.Errorf("burst of %d", got)
	}
}

func TestCarryKeepsPace(t *testing.T) {
	ntp, rtp := carry(relay.Clock{NTP: 100 << 32, RTP: 1000, Arrived: 5e9}, 7.5e9, 90000)
	if ntp != 102<<32+1<<31 || rtp != 1000+225000 {
		t.Errorf("%d.%d %d", ntp>>32, uint32(ntp), rtp)
	}
}
