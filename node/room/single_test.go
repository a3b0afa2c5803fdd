package room

import (
	"slices"
	"strings"
	"testing"

	"maille/node/signal"
	"maille/proto/livekit"
)

// offerText is a client's offer to receive one audio track and to exchange data.
var offerText = strings.Join([]string{
	"v=0", "o=- 1 2 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1",
	"a=fingerprint:sha-256 " + strings.TrimSuffix(strings.Repeat("AB:", 32), ":"),
	"m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0", "a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx",
	"a=setup:actpass", "a=mid:0", "a=recvonly", "a=rtcp-mux", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1",
	"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0", "a=ice-ufrag:abcd", "a=ice-pwd:abcdefghijklmnopqrstuvwx",
	"a=setup:actpass", "a=mid:1", "a=sctp-port:5000", "",
}, "\r\n")

func single(j *signal.Join) { j.SinglePC = true }

// What comes with a join on a single connection is answered right after it, and the node
// never offers.
func TestJoinOnASingleConnection(t *testing.T) {
	s := newStage(t)
	d := s.join("ann", single, func(j *signal.Join) {
		j.Offer = &livekit.SessionDescription{Type: "offer", Sdp: offerText, Id: 3}
		j.Tracks = []*livekit.AddTrackRequest{{Cid: "c", Type: livekit.TrackType_AUDIO, Source: livekit.TrackSource_MICROPHONE}}
		j.SyncState = &livekit.SyncState{Subscription: &livekit.UpdateSubscription{TrackSids: []string{"TR_x"}, Subscribe: true}}
	})
	answer := d.await(t, "answer", func(m *livekit.SignalResponse) bool { return m.GetAnswer() != nil }).GetAnswer()
	if answer.Id != 3 || answer.Type != "answer" || !strings.Contains(answer.Sdp, "a=mid:0") {
		t.Errorf("answered with %v", answer)
	}
	d.mu.Lock()
	said := slices.Clone(d.said)
	d.mu.Unlock()
	if join := said[0].GetJoin(); join == nil || join.SubscriberPrimary {
		t.Errorf("first said %v, want a join whose primary connection is the client's", said[0])
	}
	for i, m := range said {
		if m.GetOffer() != nil {
			t.Errorf("message %d is an offer", i)
		}
	}
	if !slices.ContainsFunc(said, func(m *livekit.SignalResponse) bool { return m.GetTrackPublished().GetCid() == "c" }) {
		t.Error("the track that came with the join is not answered")
	}
	_ = s.room.call(func() {
		if !s.room.local["ann"].choices["TR_x"] {
			t.Error("the subscription that came with the join is forgotten")
		}
	})
}

// A client that resumes in the other form of the protocol has lost its connection.
func TestResumeInTheOtherForm(t *testing.T) {
	s := newStage(t)
	sid := sidAt(t, s.join("ann", single))
	s.resume("ann", sid).await(t, "leave", isLeave(livekit.DisconnectReason_STATE_MISMATCH, livekit.LeaveRequest_RECONNECT))
}

// On a single connection the client restarts ICE: the node waits for its offer.
func TestResumeOnASingleConnection(t *testing.T) {
	s := newStage(t)
	sid := sidAt(t, s.join("ann", single, func(j *signal.Join) {
		j.Offer = &livekit.SessionDescription{Type: "offer", Sdp: offerText, Id: 1}
	}))
	d := s.join("ann", single, func(j *signal.Join) { j.Reconnect, j.ParticipantSid = true, sid })
	d.await(t, "reconnect", func(m *livekit.SignalResponse) bool { return m.GetReconnect() != nil })
	d.requests <- &livekit.SignalRequest{Message: &livekit.SignalRequest_Offer{
		Offer: &livekit.SessionDescription{Type: "offer", Sdp: strings.ReplaceAll(offerText, "abcd", "efgh"), Id: 2},
	}}
	d.await(t, "answer", func(m *livekit.SignalResponse) bool { return m.GetAnswer().GetId() == 2 })
}
