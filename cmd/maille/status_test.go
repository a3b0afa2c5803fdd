package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	adminpb "maille/proto/admin"
)

func TestPrintStatus(t *testing.T) {
	s := &adminpb.StatusResponse{
		Self: "paris", Leader: "lyon", Quorum: true,
		Nodes: []*adminpb.NodeStatus{
			{Name: "eve", Region: "lyon", State: "serving", Raft: "none"},
			{Name: "lyon", Region: "lyon", State: "serving", Raft: "leader", Rooms: 12, Participants: 140, Tracks: 280, RttMs: 9.04, UptimeMs: 100_000_000, Signal: "wss://lyon.example.org"},
			{Name: "marseille", Region: "marseille", State: "unknown", Raft: "nonvoter", Stale: true},
			{Name: "paris", Region: "paris", State: "serving", Raft: "voter", UptimeMs: 4_000_000, Signal: "wss://paris.example.org"},
		},
		Rooms: []*adminpb.RoomStatus{{Name: "retro", Epoch: 8, Unrecorded: true}, {Name: "standup", Epoch: 7, Participants: 3, Serving: []*adminpb.Serving{{Region: "lyon", Nodes: []string{"lyon", "lyon-2"}}}}},
		Links: []*adminpb.LinkStatus{
			{
				Peer: "lyon", Up: true, RttMs: 9.04, Loss: 0.0123, QueueMs: 12.34, EstimateBps: 24.31e6, DemandBps: 31e6, Lanes: 24,
				StreamsOut: 280, StreamsIn: 120, BytesOut: 12_345_678_901, BytesIn: 801_000_000, RepairsAnswered: 1204, RepairsAsked: 311, Lost: 7,
				RepairsLate: 5, Drops: map[string]uint64{"shed": 12, "queue_full": 3}, Refused: map[string]uint64{"loop": 2}, Excess: 9,
			},
			{Peer: "marseille"},
			{Peer: "rennes", Up: true, RttMs: 5, Lanes: 4, DemandBps: 1e6},
		},
		LinksRefused: map[string]uint64{"name": 3, "handshake": 1},
		LinksUnsent:  map[string]uint64{"unreachable": 12},
	}
	var out bytes.Buffer
	if err := printStatus(&out, s); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimLeft(`
as seen by paris   leader lyon   quorum yes

NODE       REGION     STATE               RAFT      ROOMS  PEOPLE  TRACKS  RTT    UP    SIGNALLING
eve        lyon       serving (unproven)  none      0      0       0       -      0s    
lyon       lyon       serving             leader    12     140     280     9.0ms  1d3h  wss://lyon.example.org
marseille  marseille  unknown (unseen)    nonvoter  0      0       0       -      0s    
paris      paris      serving             voter     0      0       0       -      1h6m  wss://paris.example.org

ROOM     EPOCH           SERVED-BY         PEOPLE
retro    8 (unrecorded)                    0
standup  7               lyon:lyon+lyon-2  3

links of paris, pairs are out/in
PEER       RTT    LOSS   QUEUE   WANTED  LIMIT  LANES  STREAMS  BYTES         REPAIRS   LATE  LOST
lyon       9.0ms  1.23%  12.3ms  31.0M   24.3M  24     280/120  12 GB/801 MB  1204/311  5     7
marseille  DOWN   -      -       -       -      -      -        -             -         -     -
rennes     5.0ms  0.00%  0.0ms   1.0M    -      4      0/0      0 B/0 B       0/0       0     0
  dropped on the way to or from lyon: queue_full 3, shed 12
  tracks refused to lyon: loop 2
  lyon asked for 9 packets more than a peer may
  connections to this node's links refused: handshake 1, name 3
  packets of links that the kernel did not take: unreachable 12
`, "\n")
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
	for line := range strings.SplitSeq(out.String(), "\n") {
		if len(line) > 100 && !strings.Contains(line, "://") {
			t.Errorf("%d columns: %s", len(line), line)
		}
	}
}

// What a node holds of a room that Raft does not list is shown like any other.
func TestPrintUnrecordedRoom(t *testing.T) {
	for _, tc := range []struct {
		room *adminpb.RoomStatus
		want string
	}{
		{&adminpb.RoomStatus{Name: "standup", Sid: "RM_1", Epoch: 3, Unrecorded: true, Loudest: proto.Uint32(0)}, "room standup   RM_1   epoch 3 (unrecorded)   served by    heard at once: all"},
		{&adminpb.RoomStatus{Name: "standup", Loudest: proto.Uint32(3)}, "room standup      epoch 0   served by    heard at once: the loudest 3"},
		{nil, "room       epoch 0   served by    heard at once: unknown"},
	} {
		var out bytes.Buffer
		if err := printRoom(&out, &adminpb.RoomShowResponse{Room: tc.room}); err != nil {
			t.Fatal(err)
		}
		if got, _, _ := strings.Cut(out.String(), "\n"); got != tc.want {
			t.Errorf("%q, want %q", got, tc.want)
		}
	}
}

func TestPrintCrossings(t *testing.T) {
	s := &adminpb.RoomShowResponse{Room: &adminpb.RoomStatus{Name: "standup"}, Nodes: []*adminpb.NodeRoom{
		{Node: "paris", Tracks: []*adminpb.TrackStatus{{Sid: "TR_1", Identity: "ann", Crossings: []*adminpb.CrossingStatus{
			{Peer: "lyon", Direction: "out", Layers: "0,1", Packets: 100, Bytes: 1000, Shed: 2, Repaired: 4},
			{Peer: "rennes", Direction: "out", Layers: "0", Packets: 10},
		}}}},
		{Node: "lyon", Tracks: []*adminpb.TrackStatus{{Sid: "TR_1", Identity: "ann", Upstream: "paris", Crossings: []*adminpb.CrossingStatus{
			{Peer: "paris", Direction: "in", Packets: 99, Repaired: 3, Lost: 1},
		}}}},
	}}
	var out bytes.Buffer
	if err := printRoom(&out, s); err != nil {
		t.Fatal(err)
	}
	_, got, _ := strings.Cut(out.String(), "CROSSING")
	want := `       TRACK  PERSON  LAYERS  PACKETS  BYTES   SHED  REPAIRED  LOST
paris->lyon    TR_1   ann     0,1     100      1.0 kB  2     3         1
paris->rennes  TR_1   ann     0       10       0 B     0     -         -
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
