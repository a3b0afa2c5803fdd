// The two peer connections of the protocol: what we send (we offer) and what we get (the
// node offers). Offers are numbered, and answers to older ones are ignored.
import { Target } from "./messages.js";

class Peer {
  constructor(iceServers, target, send, onState) {
    this.pc = new RTCPeerConnection({ iceServers: servers(iceServers) });
    this.send = send;
    this.target = target;
    this.waiting = []; // candidates that came before the description
    this.steps = Promise.resolve();
    this.pc.onicecandidate = ({ candidate }) => {
      if (candidate) this.send({ trickle: { candidateInit: JSON.stringify(candidate), target } });
    };
    this.pc.onconnectionstatechange = () => onState(this.pc.connectionState);
  }

  // step runs one change of the descriptions after the other.
  step(change) {
    this.steps = this.steps.then(change).catch((err) => {
      if (this.pc.signalingState !== "closed") console.warn("negotiation failed", err);
    });
    return this.steps;
  }

  candidate(init) {
    if (this.pc.remoteDescription) return this.step(() => this.pc.addIceCandidate(init));
    this.waiting.push(init);
    return undefined;
  }

  async remote(type, sdp) {
    await this.pc.setRemoteDescription({ type, sdp });
    for (const init of this.waiting.splice(0)) await this.pc.addIceCandidate(init);
  }

  configure(iceServers) {
    if (iceServers.length) this.pc.setConfiguration({ iceServers: servers(iceServers) });
  }

  close() { this.pc.close(); }
}

function servers(list) {
  return list.map(({ urls, username, credential }) => (username ? { urls, username, credential } : { urls }));
}

export class Publisher extends Peer {
  constructor(iceServers, send, onState) {
    super(iceServers, Target.PUBLISHER, send, onState);
    this.id = 0;
    this.reliable = this.pc.createDataChannel("_reliable", { ordered: true });
    this.lossy = this.pc.createDataChannel("_lossy", { ordered: false, maxRetransmits: 0 });
    for (const c of [this.reliable, this.lossy]) c.binaryType = "arraybuffer";
  }

  // negotiate offers; while an offer is unanswered another one waits, except for an ICE
  // restart, whose predecessor may have been lost with the socket.
  negotiate(iceRestart = false) {
    return this.step(async () => {
      if (this.asked && !iceRestart) {
        this.again = true;
        return;
      }
      this.again = false;
      const offer = await this.pc.createOffer({ iceRestart });
      await this.pc.setLocalDescription(offer);
      this.asked = true; // only now: what fails before it has no answer to wait for
      this.send({ offer: { type: "offer", sdp: offer.sdp, id: ++this.id } });
    });
  }

  answered({ sdp, id }) {
    return this.step(async () => {
      if (id && id !== this.id) return;
      this.asked = false;
      await this.remote("answer", sdp);
      if (this.again) this.negotiate();
    });
  }
}

export class Subscriber extends Peer {
  // onTrack gets the track sid, the participant sid and the MediaStreamTrack; onData the
  // bytes of each packet and whether they came reliably.
  constructor(iceServers, send, onState, onTrack, onData) {
    super(iceServers, Target.SUBSCRIBER, send, onState);
    this.mids = {};
    this.pc.ontrack = ({ track, streams, transceiver }) => {
      // The stream is called "participant|track"; older forms name the track elsewhere.
      const [participant = "", part = ""] = (streams[0] ? streams[0].id : "").split("|");
      const sid = [part, track.id, this.mids[transceiver.mid]].find((s) => s && s.startsWith("TR_"));
      if (sid) onTrack(sid, participant, track);
    };
    this.pc.ondatachannel = ({ channel }) => {
      channel.binaryType = "arraybuffer";
      channel.onmessage = ({ data }) => onData(new Uint8Array(data), channel.label === "_reliable");
    };
  }

  offered({ sdp, id, midToTrackId }) {
    return this.step(async () => {
      this.mids = midToTrackId;
      await this.remote("offer", sdp);
      const answer = await this.pc.createAnswer();
      await this.pc.setLocalDescription(answer);
      this.last = { offer: { type: "offer", sdp, id }, answer: { type: "answer", sdp: answer.sdp, id } };
      this.send({ answer: this.last.answer });
    });
  }
}
