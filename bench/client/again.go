package client

import (
	"context"
	"time"

	"github.com/pion/webrtc/v4"

	"maille/proto/livekit"
)

// A client that goes on by another node keeps its connections, if it is a browser: only
// DTLS begins anew. pion cannot do that, so here a second Client with new connections
// goes on with the session of a first one, which a test then drops.

func (c *Client) sdk() livekit.ClientInfo_SDK {
	if c.opts.SDK == livekit.ClientInfo_UNKNOWN {
		return livekit.ClientInfo_GO
	}
	return c.opts.SDK
}

// sid is that of the session to resume.
func (c *Client) sid() string {
	if c.opts.After != nil {
		return c.opts.After.Join().Participant.Sid
	}
	return c.Join().Participant.Sid
}

// Token is the newest that the server gave.
func (c *Client) Token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token
}

// goOn says what the former client had, and offers.
func (c *Client) goOn() error {
	after := c.opts.After
	state := &livekit.SyncState{Subscription: &livekit.UpdateSubscription{}}
	after.mu.Lock()
	for cid, info := range after.announced {
		state.PublishTracks = append(state.PublishTracks, &livekit.TrackPublishedResponse{Cid: cid, Track: info})
	}
	join := after.join
	after.mu.Unlock()
	c.mu.Lock()
	c.join = join
	c.notify()
	c.mu.Unlock()
	close(c.joined)
	if err := c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_SyncState{SyncState: state}}); err != nil {
		return err
	}
	if c.opts.Single {
		return c.offer(false)
	}
	return nil
}

// What video is like that Again sends.
const againFPS, againSize = 30, 1000

// Again goes on with a track of the former client, audio without redundancy.
func (c *Client) Again(ctx context.Context, old *Published) (*Published, error) {
	p := &Published{c: c, Info: old.Info, tracks: old.tracks}
	if old.wrap != nil {
		plain, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus}, old.tracks[0].ID(), "camera")
		if err != nil {
			return nil, err
		}
		p.tracks = []*webrtc.TrackLocalStaticRTP{plain}
	}
	p.level.Store(old.level.Load())
	if err := p.attach(ctx, p.tracks[0]); err != nil {
		return nil, err
	}
	p.start(func(i int) {
		if p.Info.Type == livekit.TrackType_AUDIO {
			p.audio()
			return
		}
		p.video(i, time.Second/againFPS, againSize)
	})
	return p, nil
}
