package client

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/pion/webrtc/v4"

	"maille/proto/livekit"
)

func (c *Client) handle(m *livekit.SignalResponse) error {
	c.dataSaid(m)
	switch m := m.Message.(type) {
	case *livekit.SignalResponse_Join:
		c.mu.Lock()
		c.join = m.Join
		for _, p := range m.Join.OtherParticipants {
			c.participants[p.Identity] = p
		}
		c.notify()
		c.mu.Unlock()
		close(c.joined)
		if c.opts.Single {
			return c.firstOffer()
		}
	case *livekit.SignalResponse_RefreshToken:
		c.mu.Lock()
		c.token = m.RefreshToken
		c.mu.Unlock()
	case *livekit.SignalResponse_Reconnect:
		if c.opts.After != nil {
			return c.goOn()
		}
		if c.opts.Single || c.pub.RemoteDescription() != nil {
			return c.offer(true)
		}
	case *livekit.SignalResponse_MediaSectionsRequirement:
		r := m.MediaSectionsRequirement
		if err := c.sections(int(r.NumAudios), int(r.NumVideos)); err != nil {
			return err
		}
		return c.offer(false)
	case *livekit.SignalResponse_Offer:
		return c.answer(m.Offer)
	case *livekit.SignalResponse_Answer:
		return c.answered(m.Answer)
	case *livekit.SignalResponse_Trickle:
		return c.trickle(m.Trickle)
	case *livekit.SignalResponse_Update:
		c.mu.Lock()
		for _, p := range m.Update.Participants {
			if p.Identity == c.join.GetParticipant().GetIdentity() {
				continue
			}
			if p.State == livekit.ParticipantInfo_DISCONNECTED {
				delete(c.participants, p.Identity)
			} else if old := c.participants[p.Identity]; old == nil || old.Sid != p.Sid || old.Version <= p.Version {
				c.participants[p.Identity] = p
			}
		}
		c.notify()
		c.mu.Unlock()
	case *livekit.SignalResponse_TrackPublished:
		c.mu.Lock()
		ch := c.published[m.TrackPublished.Cid]
		c.announced[m.TrackPublished.Cid] = m.TrackPublished.Track
		c.mu.Unlock()
		if ch != nil {
			ch <- m.TrackPublished.Track
		}
	case *livekit.SignalResponse_SpeakersChanged:
		c.mu.Lock()
		for _, s := range m.SpeakersChanged.Speakers {
			c.speakers[s.Sid] = s
		}
		c.notify()
		c.mu.Unlock()
	case *livekit.SignalResponse_SubscribedQualityUpdate:
		c.mu.Lock()
		c.quality[m.SubscribedQualityUpdate.TrackSid] = m.SubscribedQualityUpdate
		c.notify()
		c.mu.Unlock()
	case *livekit.SignalResponse_Leave:
		c.mu.Lock()
		c.leave = m.Leave
		c.mu.Unlock()
		return fmt.Errorf("leave: %s", m.Leave.Reason)
	}
	return nil
}

// answer replies to a subscriber offer.
func (c *Client) answer(o *livekit.SessionDescription) error {
	if err := c.sub.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: o.Sdp}); err != nil {
		return fmt.Errorf("subscriber offer: %w", err)
	}
	if err := c.flush(c.sub, &c.earlySub); err != nil {
		return err
	}
	a, err := c.sub.CreateAnswer(nil)
	if err != nil {
		return fmt.Errorf("subscriber answer: %w", err)
	}
	if err := c.sub.SetLocalDescription(a); err != nil {
		return fmt.Errorf("subscriber answer: %w", err)
	}
	return c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Answer{
		Answer: &livekit.SessionDescription{Type: "answer", Sdp: a.SDP, Id: o.Id},
	}})
}

func (c *Client) trickle(t *livekit.TrickleRequest) error {
	var init webrtc.ICECandidateInit
	if err := json.Unmarshal([]byte(t.CandidateInit), &init); err != nil {
		return fmt.Errorf("candidate: %w", err)
	}
	if init.Candidate == "" {
		return nil
	}
	pc, early := c.pub, &c.earlyPub
	if t.Target == livekit.SignalTarget_SUBSCRIBER {
		pc, early = c.sub, &c.earlySub
	}
	if pc.RemoteDescription() == nil {
		*early = append(*early, init)
		return nil
	}
	return pc.AddICECandidate(init)
}

func (c *Client) flush(pc *webrtc.PeerConnection, early *[]webrtc.ICECandidateInit) error {
	for _, init := range *early {
		if err := pc.AddICECandidate(init); err != nil {
			return err
		}
	}
	*early = nil
	return nil
}

// Join returns what the server said on joining.
func (c *Client) Join() *livekit.JoinResponse {
	<-c.joined
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.join
}

// Participants returns the others the client knows of, by identity.
func (c *Client) Participants() map[string]*livekit.ParticipantInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.participants)
}

// Speaking reports whether a participant (by sid) is an active speaker.
func (c *Client) Speaking(sid string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.speakers[sid].GetActive()
}

// Quality returns the last subscribed_quality_update of a published track.
func (c *Client) Quality(trackSid string) *livekit.SubscribedQualityUpdate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.quality[trackSid]
}

// Data returns the data packets received so far.
func (c *Client) Data() []*livekit.DataPacket {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.data)
}

// Subscribe asks for tracks, or gives them up.
func (c *Client) Subscribe(yes bool, sids ...string) error {
	return c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Subscription{
		Subscription: &livekit.UpdateSubscription{TrackSids: sids, Subscribe: yes},
	}})
}

// Mute tells that a published track is muted; what is sent is the caller's affair.
func (c *Client) Mute(sid string, muted bool) error {
	return c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Mute{
		Mute: &livekit.MuteTrackRequest{Sid: sid, Muted: muted},
	}})
}

// Forget drops the count of a received track; it begins anew when the track comes again.
func (c *Client) Forget(sid string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.received, sid)
}
