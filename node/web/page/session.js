// One stay in a meeting: joins, follows what the node says, and comes back by itself when
// a connection is lost, resuming where the node allows it and joining anew where not.
import { Action, Target } from "./messages.js";
import { Socket, Refused, pause, query } from "./socket.js";
import { Publisher, Subscriber } from "./peers.js";
import { Roster } from "./roster.js";
import { DataLine } from "./data.js";
import { Local } from "./local.js";
import { Stats } from "./stats.js";
import { HAND, Tempo, readReaction, writeReaction } from "./floor.js";
import * as chat from "./chat.js";

const MEDIA_TIMEOUT = 15000; // ms for both peer connections to come up
const GRACE = 3000; // ms that a peer connection may be disconnected before we act
const DELAYS = [0, 300, 1200, 2700, 4800, 7000, 7000, 7000, 7000, 7000]; // ms before each attempt to come back

export class Session {
  // bases are the URLs of nodes, the wanted one first; regions all that are known. on has state(name, detail),
  // change(), came(joined, left), chat(message), reaction(identity, name), media(),
  // muted(source), captureEnded(source), measured().
  constructor({ bases, regions, token, region, on }) {
    Object.assign(this, { bases, regions, token, region, on });
    this.roster = new Roster();
    this.media = new Map(); // MediaStreamTracks by track sid
    this.paused = new Set(); // track sids that the node holds back for want of bandwidth
    this.views = new Map(); // track settings sent, by track sid
    this.chat = new chat.Reader();
    this.data = new DataLine((packet) => this.packet(packet));
    this.local = new Local((r) => this.send(r), (source) => on.captureEnded(source));
    this.tempo = new Tempo();
    this.stats = new Stats(() => this, () => this.media, () => on.measured());
    this.begun = false; // the first join has worked
    this.recovering = false;
    this.anew = false; // resuming is no use, join again
    this.ended = false;
  }

  send(request) { if (this.socket) this.socket.send(request); }

  // start joins through the first node that answers; it throws Refused.
  async start() {
    this.on.state("connecting");
    for (let left = this.bases.length; ; left--) {
      try {
        await this.join();
        this.begun = true;
        this.on.state("connected");
        return;
      } catch (err) {
        this.dropLine();
        if (left <= 1 || !this.elsewhere(err)) throw err;
      }
    }
  }

  // elsewhere moves on to the next node when another one may do better.
  elsewhere(err) {
    if (!(err instanceof Refused) || !["unreachable", "busy", "silent", "blocked", "node"].includes(err.kind)) return false;
    this.bases.push(this.bases.shift());
    return true;
  }

  async join() {
    const socket = await this.open();
    const { join, leave } = socket.first;
    if (!join && leave) throw leave.action === Action.DISCONNECT ? new Refused("left", String(leave.reason)) : new Refused("busy");
    if (!join) throw new Refused("node");
    this.terms = join;
    this.sid = join.participant.sid;
    this.roster.reset(join.participant, join.otherParticipants);
    this.media.clear();
    this.paused.clear();
    this.views.clear();
    this.data.reset();
    this.connectPeers(join.iceServers);
    socket.keepAlive(join.pingInterval, join.pingTimeout);
    this.on.change();
    await this.up();
  }

  async open(resume) {
    const socket = await Socket.open(this.bases[0], query(this.token, this.region, resume), {
      message: (m) => this.socket === socket && this.receive(m),
      close: () => this.socket === socket && this.lost(),
    });
    if (this.ended) {
      socket.close();
      throw new Refused("left", "1");
    }
    this.socket = socket;
    return socket;
  }

  connectPeers(iceServers) {
    const send = (r) => this.send(r);
    const publisher = new Publisher(iceServers, send, (s) => this.publisher === publisher && this.peerState(s));
    const subscriber = new Subscriber(iceServers, send, (s) => this.subscriber === subscriber && this.peerState(s),
      (sid, _, track) => this.arrived(sid, track), (bytes, reliable) => this.data.receive(bytes, reliable));
    this.publisher = publisher;
    this.subscriber = subscriber;
    this.data.attach(publisher.reliable);
    this.local.attach(publisher);
  }

  peersUp() {
    return [this.publisher, this.subscriber].every((p) => p && p.pc.connectionState === "connected");
  }

  // up waits for media to flow.
  up() {
    if (this.peersUp()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => settle(new Refused("media")), MEDIA_TIMEOUT);
      const settle = (err) => {
        clearTimeout(timer);
        this.waiter = null;
        if (err) reject(err);
        else resolve();
      };
      this.waiter = settle;
    });
  }

  peerState(state) {
    if (this.peersUp()) clearTimeout(this.grace);
    if (this.waiter) {
      if (this.peersUp()) this.waiter();
      else if (state === "failed") this.waiter(new Refused("media"));
    } else if (state === "failed") {
      this.lost();
    } else if (state === "disconnected") {
      clearTimeout(this.grace);
      this.grace = setTimeout(() => this.peersUp() || this.lost(), GRACE);
    }
  }

  arrived(sid, track) {
    this.media.set(sid, track);
    track.onended = () => {
      if (this.media.get(sid) === track) this.media.delete(sid);
      this.on.media();
    };
    this.on.media();
  }

  receive(m) {
    if (m.answer) this.publisher.answered(m.answer);
    else if (m.offer) this.subscriber.offered(m.offer);
    else if (m.trickle) this.trickled(m.trickle);
    else if (m.update) this.updated(m.update.participants);
    else if (m.trackPublished) this.local.published(m.trackPublished);
    else if (m.leave) this.told(m.leave);
    else if (m.mute) this.moderated(m.mute);
    else if (m.speakersChanged) this.roster.speakers(m.speakersChanged.speakers);
    else if (m.connectionQuality) this.roster.qualities(m.connectionQuality.updates);
    else if (m.streamStateUpdate) this.streams(m.streamStateUpdate.streamStates);
    else if (m.subscribedQualityUpdate) this.local.demand(m.subscribedQualityUpdate);
    else if (m.refreshToken) this.token = m.refreshToken;
    else if (m.trackUnpublished) this.local.unpublishedByNode(m.trackUnpublished.trackSid);
    else if (m.requestResponse && m.requestResponse.reason) console.warn("request refused", m.requestResponse);
    this.on.change();
  }

  trickled({ candidateInit, target }) {
    let init;
    try {
      init = JSON.parse(candidateInit);
    } catch {
      return;
    }
    if (init && init.candidate) (target === Target.SUBSCRIBER ? this.subscriber : this.publisher).candidate(init);
  }

  updated(infos) {
    const { joined, left } = this.roster.update(infos);
    for (const sid of this.media.keys()) if (!this.roster.owner(sid)) this.media.delete(sid);
    if (joined.length || left.length) this.on.came(joined, left);
    this.on.media();
  }

  streams(states) {
    for (const { trackSid, state } of states) {
      if (state) this.paused.add(trackSid);
      else this.paused.delete(trackSid);
    }
  }

  moderated(mute) { if (this.local.mutedByNode(mute)) this.on.muted(mute); }

  packet(packet) {
    const message = this.chat.read(packet);
    if (message) this.on.chat(message);
    if (packet.user && !packet.user.topic) this.reacted(packet.participantIdentity, readReaction(packet.user.payload));
  }

  reacted(from, name) {
    if (name && this.roster.people.has(from) && this.tempo.allows(from, performance.now())) this.on.reaction(from, name);
  }

  // react sends a reaction; false means that it could not leave.
  react(name) {
    const from = this.roster.me;
    if (!this.tempo.allows(from, performance.now())) return true;
    if (!this.data.send({ participantIdentity: from, user: { payload: writeReaction(name) } })) return false;
    this.on.reaction(from, name);
    return true;
  }

  // raise puts the hand up or down; the node tells everybody, us too.
  raise(up) {
    this.send({ updateMetadata: { attributes: { [HAND]: up ? new Date().toISOString() : "" } } });
  }

  get self() { return this.roster.people.get(this.roster.me); }

  get may() {
    const p = this.self && this.self.permission;
    return { raise: !p || p.canUpdateMetadata, talk: !p || p.canPublishData };
  }

  // say sends a chat message and returns it; null means that it could not leave.
  say(text) {
    if (!this.data.open) return null;
    const id = crypto.randomUUID ? crypto.randomUUID() : `${Date.now()}-${Math.random().toString(36).slice(2)}`;
    const now = Date.now();
    for (const p of chat.write(text, id, now)) this.data.send({ ...p, participantIdentity: this.roster.me });
    return { id, from: this.roster.me, text, timestamp: now };
  }

  // watch tells the node how large a track is shown; nothing is sent twice.
  watch(sid, width, height) {
    const setting = { trackSids: [sid], disabled: !width, width, height };
    const key = `${width}x${height}`;
    if (this.views.get(sid) === key || !this.roster.owner(sid)) return;
    this.views.set(sid, key);
    this.send({ trackSetting: setting });
  }

  // told handles a leave: stop, resume, or join anew.
  told({ action, reason }) {
    if (action === Action.DISCONNECT) this.end({ kind: "left", text: String(reason) });
    else this.lost(action === Action.RECONNECT);
  }

  // lost brings the meeting back.
  async lost(anew = false) {
    if (this.ended) return;
    this.anew = this.anew || anew;
    if (this.waiter) this.waiter(new Refused("unreachable")); // whoever joins now tries again
    if (this.recovering || !this.begun) return;
    this.recovering = true;
    clearTimeout(this.grace);
    this.on.state("reconnecting");
    let last = new Refused("unreachable");
    for (const delay of DELAYS) {
      if (this.ended) return;
      await pause(delay);
      try {
        if (await this.comeBack()) return;
      } catch (err) {
        last = err;
        if (err.kind === "token" || err.kind === "left" || err.kind === "missing") break;
        if (err.kind === "media") this.anew = true;
        this.elsewhere(err);
      }
    }
    this.recovering = false;
    if (!this.ended) this.end(last);
  }

  // comeBack is one attempt; true when the meeting runs again.
  async comeBack() {
    if (this.ended) return true;
    if (this.socket) this.socket.close();
    this.socket = null;
    if (this.anew) {
      this.dropLine();
      this.anew = false;
      try {
        await this.join();
      } catch (err) {
        this.anew = true; // there is nothing left to resume
        throw err;
      }
    } else if (!(await this.resume())) {
      return false;
    }
    if (this.anew) return false;
    this.recovering = false;
    this.on.state("connected");
    return true;
  }

  async resume() {
    const socket = await this.open(this.sid);
    const { leave, reconnect } = socket.first;
    if (leave) {
      if (leave.action === Action.DISCONNECT) throw new Refused("left", String(leave.reason));
      this.anew = true;
      return false;
    }
    if (!reconnect) this.receive(socket.first);
    socket.keepAlive(this.terms.pingInterval, this.terms.pingTimeout);
    const { offer, answer } = this.subscriber.last || {};
    this.send({
      syncState: {
        offer, answer, subscription: {}, publishTracks: this.local.publications(),
        datachannelReceiveStates: this.data.states(),
        dataChannels: [this.publisher.reliable, this.publisher.lossy].map((c) => ({
          label: c.label, id: c.id || 0, target: Target.PUBLISHER,
        })),
      },
    });
    if (reconnect) for (const p of [this.publisher, this.subscriber]) p.configure(reconnect.iceServers);
    this.publisher.negotiate(true);
    this.local.remute();
    this.views.clear();
    await pause(300); // an ICE restart shows in the state only once checks begin
    await this.up();
    if (reconnect) this.data.resend(reconnect.lastMessageSeq);
    return true;
  }

  dropLine() {
    for (const p of [this.publisher, this.subscriber]) if (p) p.close();
    if (this.socket) this.socket.close();
    this.socket = this.publisher = this.subscriber = null;
  }

  // leave is the person's own wish.
  leave() {
    this.send({ leave: { reason: 1, action: Action.DISCONNECT } });
    this.end(null);
  }

  end(why) {
    if (this.ended) return;
    this.ended = true;
    clearTimeout(this.grace);
    this.stats.stop();
    if (this.waiter) this.waiter(new Refused(why ? why.kind : "left", why ? why.text : "1"));
    this.dropLine();
    this.local.stop();
    this.on.state("ended", why);
  }
}
