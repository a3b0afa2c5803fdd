package room

import (
	"maps"
	"slices"
	"sync/atomic"

	"maille/node/room/datatrack"
	"maille/node/room/roster"
	"maille/node/rtc"
	linkpb "maille/proto/link"
	"maille/proto/livekit"
)

// dataTrack is a data track on this node: published here, or of another node and
// watched here. Packets go by out, without the room's loop.
type dataTrack struct {
	room *Room
	info *livekit.DataTrackInfo
	out  atomic.Pointer[dataOut]
}

func newDataTrack(r *Room, info *livekit.DataTrackInfo) *dataTrack {
	return &dataTrack{room: r, info: info}
}

// dataOut is where a data track's packets go; it is replaced, never changed.
type dataOut struct {
	watchers []dataWatcher
	nodes    []dataRoute
}

// dataWatcher is a local participant's connection, and its subscription.
type dataWatcher struct {
	peer *rtc.Peer
	*dataSub
}

// dataRoute is a node that watches, and the one to send to for it.
type dataRoute struct{ to, via string }

// dataSub is a data track sent to a local participant.
type dataSub struct {
	from   *roster.Member
	handle uint16
	gate   datatrack.Gate
}

// dataWish is what a client said of a data track.
type dataWish struct {
	subscribe bool
	fps       uint32
}

// push fans a packet out: to the nodes as it came, to the clients with their handles.
// It writes to the packet. It returns how many it goes to from here.
func (t *dataTrack) push(h datatrack.Head, b []byte) (receivers int) {
	out := t.out.Load()
	if out == nil {
		return 0
	}
	r := t.room
	for _, n := range out.nodes {
		m := &linkpb.RoomMessage{Body: &linkpb.RoomMessage_TrackData{TrackData: &linkpb.TrackData{Sid: t.info.Sid, Packet: b}}}
		r.offerVia(n.to, n.via, m)
	}
	if len(out.watchers) == 0 {
		return len(out.nodes)
	}
	now := r.env.Now()
	for _, w := range out.watchers {
		if !w.gate.Pass(h.Frame, now) {
			continue
		}
		datatrack.SetHandle(b, w.handle)
		if w.peer.SendData(rtc.DataTrack, b) != nil {
			r.data.undone.Add(1)
		}
	}
	return len(out.nodes) + len(out.watchers)
}

// receiveTrack takes a packet of another node's data track, on its link's goroutine.
func (r *Room) receiveTrack(d *linkpb.TrackData) {
	h, ok := datatrack.ReadHead(d.Packet)
	tracks := r.farData.Load()
	if !ok || tracks == nil || (*tracks)[d.Sid] == nil {
		r.data.undone.Add(1)
		return
	}
	(*tracks)[d.Sid].push(h, d.Packet)
}

// chooseData notes a client's wishes about data tracks. Whoever asks again for what it
// has is told its handles again: it waits for them.
func (r *Room) chooseData(p *Participant, u *livekit.UpdateDataSubscription) {
	for _, w := range u.GetUpdates() {
		if !isDataTrack(w.TrackSid) || !wish(p, p.dataWishes, w.TrackSid) {
			continue
		}
		if p.dataWishes == nil {
			p.dataWishes = make(map[string]dataWish)
		}
		p.dataWishes[w.TrackSid] = dataWish{w.Subscribe, w.GetOptions().GetTargetFps()}
	}
	if !r.watchData(p) && len(p.dataSubs) > 0 && len(u.GetUpdates()) > 0 {
		p.tellHandles()
	}
}

// wantsData says whether the participant asked for a data track and may have it.
func (p *Participant) wantsData(m *roster.Member, sid string) bool {
	if m.Info.Identity == p.identity || m.Hidden || !p.info.Permission.CanSubscribe || !m.Permits(p.info, sid) {
		return false
	}
	if w, ok := p.dataWishes[sid]; ok {
		return w.subscribe
	}
	return p.join.AutoSubscribeData
}

// watchData makes a participant's data subscriptions what they should be, and tells it
// the handles, if they changed.
func (r *Room) watchData(p *Participant) (changed bool) {
	if p.gone {
		return false
	}
	want := make(map[string]*roster.Member)
	for _, m := range r.roster.Members() {
		for _, info := range m.Info.DataTracks {
			if p.wantsData(m, info.Sid) {
				want[info.Sid] = m
			}
		}
	}
	for sid, s := range p.dataSubs {
		if want[sid] == nil {
			delete(p.dataSubs, sid)
			changed = true
		} else {
			s.from = want[sid]
		}
	}
	for _, sid := range slices.Sorted(maps.Keys(want)) {
		if p.dataSubs[sid] == nil && len(p.dataSubs) < maxDataSubs {
			if p.dataSubs == nil {
				p.dataSubs = make(map[string]*dataSub)
			}
			p.dataSubs[sid] = &dataSub{from: want[sid], handle: p.nextHandle()}
			changed = true
		}
		if s := p.dataSubs[sid]; s != nil {
			s.gate.Set(p.dataWishes[sid].fps)
		}
	}
	if changed {
		p.tellHandles()
		r.routeData()
	}
	return changed
}

// maxDataSubs leaves most handles free, so that one is not soon used for another track.
const maxDataSubs = 4096

// nextHandle picks a handle that was not used for the longest time.
func (p *Participant) nextHandle() uint16 {
	for {
		p.lastHandle++
		used := p.lastHandle == 0
		for _, s := range p.dataSubs {
			used = used || s.handle == p.lastHandle
		}
		if !used {
			return p.lastHandle
		}
	}
}

// tellHandles tells the client which handle its subscriptions have, all of them.
func (p *Participant) tellHandles() {
	handles := make(map[uint32]*livekit.DataTrackSubscriberHandles_PublishedDataTrack, len(p.dataSubs))
	for sid, s := range p.dataSubs {
		handles[uint32(s.handle)] = &livekit.DataTrackSubscriberHandles_PublishedDataTrack{
			PublisherIdentity: s.from.Info.Identity, PublisherSid: s.from.Info.Sid, TrackSid: sid,
		}
	}
	p.write(&livekit.SignalResponse{Message: &livekit.SignalResponse_DataTrackSubscriberHandles{
		DataTrackSubscriberHandles: &livekit.DataTrackSubscriberHandles{SubHandles: handles},
	}})
}

// watchAllData follows a change of the roster: data tracks came or went.
func (r *Room) watchAllData() {
	if !r.dataSeen && !slices.ContainsFunc(r.roster.Members(), func(m *roster.Member) bool { return len(m.Info.DataTracks) > 0 }) {
		return // no data track was ever seen here
	}
	r.dataSeen = true
	for _, p := range r.local {
		r.watchData(p)
	}
	r.routeData()
}

// routeData decides anew where the packets of all data tracks go, and tells the other
// nodes which of theirs are watched here.
func (r *Room) routeData() {
	if !r.dataSeen {
		return
	}
	watched := make(map[string][]dataWatcher)
	wanted := make(map[string][]string) // by node
	far := make(map[string]*dataTrack)
	before := r.farData.Load()
	for _, p := range r.local {
		for sid, s := range p.dataSubs {
			watched[sid] = append(watched[sid], dataWatcher{p.sub, s})
			if s.from.Node == r.env.Self() || far[sid] != nil {
				continue
			}
			wanted[s.from.Node] = append(wanted[s.from.Node], sid)
			if before != nil {
				far[sid] = (*before)[sid]
			}
			if far[sid] == nil {
				far[sid] = newDataTrack(r, &livekit.DataTrackInfo{Sid: sid})
			}
		}
	}
	for sid, t := range far {
		t.out.Store(&dataOut{watchers: watched[sid]})
	}
	r.farData.Store(&far)
	for _, p := range r.local {
		m := r.roster.Get(p.identity)
		for _, t := range p.dataPubs {
			t.out.Store(&dataOut{watchers: watched[t.info.Sid], nodes: r.dataRoutes(m, t.info.Sid)})
		}
	}
	for _, p := range r.peers {
		r.demandData(p, wanted[p.node])
	}
}

// dataRoutes lists the nodes that want a data track published here and have someone who
// may watch it.
func (r *Room) dataRoutes(m *roster.Member, sid string) (out []dataRoute) {
	for _, p := range r.peers {
		if m == nil || !p.dataWanted[sid] || !r.mayWatch(p.node, m, sid) {
			continue
		}
		if via := r.way(p); via != "" {
			out = append(out, dataRoute{p.node, via})
		}
	}
	return out
}

// mayWatch reports whether someone on a node is permitted to a data track.
func (r *Room) mayWatch(node string, m *roster.Member, sid string) bool {
	return slices.ContainsFunc(r.roster.Members(), func(viewer *roster.Member) bool {
		return viewer.Node == node && viewer.Info.GetPermission().GetCanSubscribe() && m.Permits(viewer.Info, sid)
	})
}

// demandData tells a node which of its data tracks are watched here, if that changed.
func (r *Room) demandData(p *peer, sids []string) {
	slices.Sort(sids)
	if !p.synced || slices.Equal(sids, p.dataAsked) {
		return
	}
	p.dataAsked = sids
	r.tell(p, &linkpb.RoomMessage{Body: &linkpb.RoomMessage_DataDemand{DataDemand: &linkpb.DataDemand{Sids: sids}}})
}

// dataDemanded notes which data tracks of this node another watches.
func (r *Room) dataDemanded(p *peer, d *linkpb.DataDemand) {
	p.dataWanted = make(map[string]bool, len(d.Sids))
	for _, sid := range d.Sids {
		p.dataWanted[sid] = true
	}
	r.dataSeen = true
	r.routeData()
}
