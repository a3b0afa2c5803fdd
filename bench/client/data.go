package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// errNotOpen is returned before the data channels are up.
var errNotOpen = errors.New("client: data channel not open: publish something or call OpenData first")

// SendData sends a user packet to the given identities (none = everyone).
func (c *Client) SendData(reliable bool, payload []byte, to ...string) error {
	return c.SendPacket(reliable, &livekit.DataPacket{
		DestinationIdentities: to, Value: &livekit.DataPacket_User{User: &livekit.UserPacket{Payload: payload}},
	})
}

// SendPacket sends a data packet as it is, but for what browsers set: kind, and the
// sequence of reliable packets.
func (c *Client) SendPacket(reliable bool, p *livekit.DataPacket) error {
	p = proto.Clone(p).(*livekit.DataPacket)
	label := "_lossy"
	p.Kind, p.Sequence = livekit.DataPacket_LOSSY, 0
	if reliable {
		label = "_reliable"
		c.mu.Lock()
		c.sequence++
		p.Kind, p.Sequence = livekit.DataPacket_RELIABLE, c.sequence
		c.mu.Unlock()
	}
	b, err := proto.Marshal(p)
	if err != nil {
		return err
	}
	return c.SendRaw(label, b)
}

// SendRaw puts bytes on a data channel of the client.
func (c *Client) SendRaw(label string, b []byte) error {
	dc := c.channels[label]
	if dc == nil || dc.ReadyState() != webrtc.DataChannelStateOpen {
		return errNotOpen
	}
	return dc.Send(b)
}

// OpenData brings the publisher transport and its data channels up.
func (c *Client) OpenData(ctx context.Context) error {
	if c.pub.LocalDescription() == nil {
		if err := c.negotiate(ctx); err != nil {
			return err
		}
	}
	return c.Wait(ctx, "data channels", func() bool {
		for _, dc := range c.channels {
			if dc.ReadyState() != webrtc.DataChannelStateOpen {
				return false
			}
		}
		return true
	})
}

// hear listens to a channel of the server.
func (c *Client) hear(dc *webrtc.DataChannel) {
	if dc.Label() == "_data_track" {
		dc.OnMessage(c.onTrackData)
		return
	}
	dc.OnMessage(c.onData)
}

func (c *Client) onData(m webrtc.DataChannelMessage) {
	p := new(livekit.DataPacket)
	if proto.Unmarshal(m.Data, p) != nil {
		return
	}
	c.mu.Lock()
	c.data = append(c.data, p)
	c.notify()
	c.mu.Unlock()
}

// dataTracks are what the client knows of data tracks.
type dataTracks struct {
	handles   map[uint32]*livekit.DataTrackSubscriberHandles_PublishedDataTrack
	packets   [][]byte
	published map[uint32]*livekit.DataTrackInfo // own, by handle
	refused   []*livekit.RequestResponse
}

// dataSaid notes what the server says of data tracks.
func (c *Client) dataSaid(m *livekit.SignalResponse) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.tracks
	switch m := m.Message.(type) {
	case *livekit.SignalResponse_DataTrackSubscriberHandles:
		t.handles = m.DataTrackSubscriberHandles.SubHandles
	case *livekit.SignalResponse_PublishDataTrackResponse:
		if t.published == nil {
			t.published = make(map[uint32]*livekit.DataTrackInfo)
		}
		info := m.PublishDataTrackResponse.Info
		t.published[info.PubHandle] = info
	case *livekit.SignalResponse_UnpublishDataTrackResponse:
		delete(t.published, m.UnpublishDataTrackResponse.Info.PubHandle)
	case *livekit.SignalResponse_RequestResponse:
		t.refused = append(t.refused, m.RequestResponse)
	default:
		return
	}
	c.notify()
}

func (c *Client) onTrackData(m webrtc.DataChannelMessage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tracks.packets = append(c.tracks.packets, m.Data)
	c.notify()
}

// PublishDataTrack announces a data track; packets go out with SendRaw on
// "_data_track".
func (c *Client) PublishDataTrack(ctx context.Context, handle uint32, name string) (*livekit.DataTrackInfo, error) {
	if err := c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_PublishDataTrackRequest{
		PublishDataTrackRequest: &livekit.PublishDataTrackRequest{PubHandle: handle, Name: name},
	}}); err != nil {
		return nil, err
	}
	before := len(c.Refused())
	var info *livekit.DataTrackInfo
	err := c.Wait(ctx, "data track", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		info = c.tracks.published[handle]
		return info != nil || len(c.tracks.refused) > before
	})
	if err == nil && info == nil {
		err = fmt.Errorf("client: data track refused: %v", c.Refused()[before])
	}
	return info, err
}

// WatchDataTrack subscribes to a data track, or ends that; fps 0 is every frame.
func (c *Client) WatchDataTrack(sid string, watch bool, fps uint32) error {
	u := &livekit.UpdateDataSubscription_Update{TrackSid: sid, Subscribe: watch}
	if fps > 0 {
		u.Options = &livekit.DataTrackSubscriptionOptions{TargetFps: &fps}
	}
	return c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_UpdateDataSubscription{
		UpdateDataSubscription: &livekit.UpdateDataSubscription{Updates: []*livekit.UpdateDataSubscription_Update{u}},
	}})
}

// DataHandle returns the handle of a data track the client watches, 0 for none yet.
func (c *Client) DataHandle(sid string) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	for h, t := range c.tracks.handles {
		if t.TrackSid == sid {
			return h
		}
	}
	return 0
}

// TrackPackets returns the packets of data tracks received so far.
func (c *Client) TrackPackets() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.tracks.packets)
}

// Refused returns what the server answered to requests that have no answer of their
// own.
func (c *Client) Refused() []*livekit.RequestResponse {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.tracks.refused)
}
