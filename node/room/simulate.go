package room

import (
	"time"

	"google.golang.org/protobuf/proto"

	"maille/node/signal"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// cut is how a client asked for its next resume to be interrupted.
type cut uint8

const (
	cutNone   cut = iota
	cutAfter      // after the first messages
	cutSilent     // before any
)

// interrupted cuts a resumed socket if the client asked for that, once.
func (p *Participant) interrupted(at cut) bool {
	if p.cut != at || p.conn == nil {
		return false
	}
	p.cut = cutNone
	p.conn.Close(signal.CloseInterrupted, "simulated")
	return true
}

// simulate serves the clients' own fault tests.
func (r *Room) simulate(p *Participant, s *livekit.SimulateScenario) {
	switch v := s.GetScenario().(type) {
	case *livekit.SimulateScenario_DisconnectSignalOnResume:
		p.cut = cutAfter
	case *livekit.SimulateScenario_DisconnectSignalOnResumeNoMessages:
		p.cut = cutSilent
	case *livekit.SimulateScenario_SpeakerUpdate:
		r.simulateSpeakers(p, int(v.SpeakerUpdate))
	case *livekit.SimulateScenario_SwitchCandidateProtocol:
		r.switchProtocol(p.identity, v.SwitchCandidateProtocol)
		// It may join anew at another node than this one.
		r.tellAll(func() *linkpb.RoomMessage {
			return &linkpb.RoomMessage{Body: &linkpb.RoomMessage_Order{Order: &linkpb.Order{
				Identity: p.identity, Protocol: proto.Int32(int32(v.SwitchCandidateProtocol)),
			}}}
		})
	case *livekit.SimulateScenario_SubscriberBandwidth:
		p.sub.Limit(uint64(max(v.SubscriberBandwidth, 0)) / 8)
	case *livekit.SimulateScenario_Migration:
		r.migrate(p)
	case *livekit.SimulateScenario_ServerLeave:
		r.remove(p, livekit.DisconnectReason_SERVER_SHUTDOWN, livekit.LeaveRequest_DISCONNECT)
	case *livekit.SimulateScenario_NodeFailure:
		// As a dead node would: not a word, to anyone.
		if p.conn != nil {
			p.conn.Close(signal.CloseInterrupted, "simulated")
		}
		r.remove(p, livekit.DisconnectReason_CLIENT_INITIATED, livekit.LeaveRequest_DISCONNECT)
	case *livekit.SimulateScenario_LeaveRequestFullReconnect:
		r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
	}
}

const (
	// simulatedLevel is loud enough to be first among the speakers.
	simulatedLevel = 0.9
	// maxSimulated bounds how long one may pretend to speak.
	maxSimulated = time.Minute
)

// simulateSpeakers makes the room think that the client speaks, for some seconds.
func (r *Room) simulateSpeakers(p *Participant, seconds int) {
	d := time.Duration(min(max(seconds, 0), int(maxSimulated/time.Second))) * time.Second
	p.loudUntil = r.env.Now().Add(d)
}
