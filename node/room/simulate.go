package room

import (
	"maille/proto/livekit"
)

// simulate serves the clients' own fault tests.
func (r *Room) simulate(p *Participant, s *livekit.SimulateScenario) {
	switch s.GetScenario().(type) {
	case *livekit.SimulateScenario_ServerLeave, *livekit.SimulateScenario_NodeFailure, *livekit.SimulateScenario_LeaveRequestFullReconnect:
		r.remove(p, livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT)
	}
}
