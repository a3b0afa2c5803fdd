package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"sync/atomic"

	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/proto"

	"maille/proto/livekit"
)

// firstSections is how many sections of each kind a browser offers to receive in at
// first.
const firstSections = 3

// negotiation is the state of the client's own offers: one at a time, what changes
// meanwhile goes into the next.
type negotiation struct {
	// turn guards all below but settled. It is a channel because it is held over calls of
	// pion, which may wait: a mutex would stop the clock of a bubble.
	turn chan struct{}

	id      uint32
	first   *webrtc.SessionDescription // the offer in the join request, not yet applied
	open    bool                       // the offer id has no answer yet
	again   bool                       // another is due after it
	restart bool                       // and restarts ICE
	asked   int                        // calls of offer so far
	covers  int                        // those that the open offer has
	settled atomic.Int64               // those that are answered
}

func (n *negotiation) lock()   { n.turn <- struct{}{} }
func (n *negotiation) unlock() { <-n.turn }

// joinRequest writes the settings of /rtc/v1, with the first offer unless it is to come
// later.
func (c *Client) joinRequest(q url.Values, resume bool) error {
	req := &livekit.JoinRequest{
		ClientInfo:         &livekit.ClientInfo{Sdk: c.sdk(), Browser: c.opts.Browser, Version: "0.0.1", Protocol: 17},
		ConnectionSettings: &livekit.ConnectionSettings{AutoSubscribe: !c.opts.NoAutoSubscribe},
	}
	if resume {
		req.Reconnect, req.ParticipantSid = true, c.sid()
	} else if !c.opts.LateOffer {
		o, err := c.pub.CreateOffer(nil)
		if err != nil {
			return err
		}
		n := &c.nego
		n.id, n.first, n.open = 1, &o, true
		req.PublisherOffer = &livekit.SessionDescription{Type: "offer", Sdp: o.SDP, Id: n.id}
	}
	b, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err = z.Write(b)
	if err = errors.Join(err, z.Close()); err != nil {
		return err
	}
	b, err = proto.Marshal(&livekit.WrappedJoinRequest{Compression: livekit.WrappedJoinRequest_GZIP, JoinRequest: zipped.Bytes()})
	q.Set("join_request", base64.URLEncoding.EncodeToString(b))
	return err
}

// firstOffer is made on joining: it applies the one in the join request, or sends it now.
func (c *Client) firstOffer() error {
	n := &c.nego
	n.lock()
	first := n.first
	n.first = nil
	n.unlock()
	if first != nil {
		return c.pub.SetLocalDescription(*first)
	}
	return c.offer(false)
}

// sections adds sections to receive in.
func (c *Client) sections(audio, video int) error {
	for i := range audio + video {
		kind := webrtc.RTPCodecTypeAudio
		if i >= audio {
			kind = webrtc.RTPCodecTypeVideo
		}
		if _, err := c.pub.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return err
		}
	}
	return nil
}

// offer sends an offer, now or once the one before is answered.
func (c *Client) offer(restart bool) error {
	_, err := c.offerNumber(restart)
	return err
}

func (c *Client) offerNumber(restart bool) (number int, err error) {
	n := &c.nego
	n.lock()
	defer n.unlock()
	n.asked++
	n.restart = n.restart || restart
	if n.open && !n.restart {
		n.again = true
		return n.asked, nil
	}
	return n.asked, c.offerNow()
}

// offerNow makes and sends an offer; nego is held. An offer without answer is given up
// for one that restarts ICE: its answer went down with a socket.
func (c *Client) offerNow() error {
	n := &c.nego
	if n.open && c.pub.RemoteDescription() != nil {
		back := webrtc.SessionDescription{Type: webrtc.SDPTypeRollback, SDP: c.pub.PendingLocalDescription().SDP}
		if err := c.pub.SetLocalDescription(back); err != nil {
			return fmt.Errorf("roll back: %w", err)
		}
	}
	restart := n.restart && c.pub.RemoteDescription() != nil
	o, err := c.pub.CreateOffer(&webrtc.OfferOptions{ICERestart: restart})
	if err != nil {
		return err
	}
	if err := c.pub.SetLocalDescription(o); err != nil {
		return err
	}
	n.id++
	n.open, n.again, n.restart, n.covers = true, false, false, n.asked
	return c.Send(&livekit.SignalRequest{Message: &livekit.SignalRequest_Offer{
		Offer: &livekit.SessionDescription{Type: "offer", Sdp: o.SDP, Id: n.id},
	}})
}

// answered takes the answer to the newest offer; others are too late.
func (c *Client) answered(a *livekit.SessionDescription) error {
	n := &c.nego
	n.lock()
	defer n.unlock()
	if !n.open || a.Id != n.id {
		return nil
	}
	if err := c.pub.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: a.Sdp}); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	n.open = false
	n.settled.Store(int64(n.covers))
	c.mu.Lock()
	c.mids = a.MidToTrackId
	c.notify()
	c.mu.Unlock()
	if err := c.flush(c.pub, &c.earlyPub); err != nil {
		return err
	}
	if n.again {
		return c.offerNow()
	}
	return nil
}

// negotiate offers what has changed and waits until it is answered and connected.
func (c *Client) negotiate(ctx context.Context) error {
	number, err := c.offerNumber(false)
	if err != nil {
		return err
	}
	return c.Wait(ctx, "the publisher transport", func() bool {
		return c.nego.settled.Load() >= int64(number) && c.pub.ConnectionState() == webrtc.PeerConnectionStateConnected
	})
}

// Mids returns the newest answer's map of sections to tracks.
func (c *Client) Mids() map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mids
}

// Resume opens a new socket for the running session, as after a change of network, and
// restarts ICE.
func (c *Client) Resume(ctx context.Context) error {
	c.Cut()
	if err := c.dial(ctx, true); err != nil {
		return err
	}
	c.startReading()
	return nil
}

// Cut loses the signalling socket, and nothing else; Resume opens another.
func (c *Client) Cut() {
	c.cut.Store(true)
	defer c.cut.Store(false)
	_ = c.ws.Load().CloseNow()
	c.reading.Wait()
}
