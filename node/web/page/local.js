// What this person publishes, a slot a source. A slot outlives connections: after a full
// rejoin everything in it is published again.
import { Source } from "./messages.js";
import { description, enable, preferVP8 } from "./media.js";

export class Local {
  // send goes to the node; onEnded is told of a track that the browser or the system ended.
  constructor(send, onEnded) {
    this.send = send;
    this.onEnded = onEnded;
    this.slots = new Map(); // by source: {track, muted, transceiver, cid, info, switching}
    this.publisher = null;
  }

  on(source) {
    const slot = this.slots.get(source);
    return Boolean(slot) && !slot.muted;
  }

  // attach takes a new publishing connection, and publishes what there is.
  attach(publisher) {
    this.publisher = publisher;
    for (const [source, slot] of this.slots) {
      slot.transceiver = slot.info = null;
      this.announce(source, slot);
    }
    publisher.negotiate();
  }

  // publish sends a track, or puts it in the place of one that was muted.
  async publish(source, track) {
    track.onended = () => this.onEnded(source);
    const slot = this.slots.get(source);
    if (slot && slot.transceiver) {
      discard(slot.track, track);
      slot.track = track;
      await slot.transceiver.sender.replaceTrack(track);
      this.setMuted(source, false);
      return;
    }
    const fresh = { track, muted: false, transceiver: null, info: null };
    this.slots.set(source, fresh);
    if (this.publisher) {
      this.announce(source, fresh);
      this.publisher.negotiate();
    }
  }

  // replace puts another device in the place of one that runs; a muted microphone stays so.
  async replace(source, track) {
    const slot = this.slots.get(source);
    discard(slot.track, track);
    track.onended = () => this.onEnded(source);
    track.enabled = !slot.muted;
    slot.track = track;
    if (slot.transceiver) await slot.transceiver.sender.replaceTrack(track);
  }

  announce(source, slot) {
    const { request, encodings } = description(slot.track, source);
    slot.cid = request.cid;
    slot.transceiver = this.publisher.pc.addTransceiver(slot.track, {
      direction: "sendonly", streams: [new MediaStream([slot.track])], sendEncodings: encodings,
    });
    if (slot.track.kind === "video") preferVP8(slot.transceiver);
    if (source === Source.SCREEN_SHARE) slot.track.contentHint = "detail";
    this.send({ addTrack: { ...request, muted: slot.muted } });
  }

  // published takes the node's answer to an announcement.
  published({ cid, track }) {
    for (const slot of this.slots.values()) {
      if (slot.cid !== cid) continue;
      slot.info = track;
      if (slot.muted !== track.muted) this.send({ mute: { sid: track.sid, muted: slot.muted } });
    }
  }

  // setMuted silences a source. The microphone goes on capturing, so that it is back at
  // once; the camera is switched off, so that its light is, too.
  setMuted(source, muted) {
    const slot = this.slots.get(source);
    if (!slot) return;
    slot.muted = muted;
    slot.track.enabled = !muted;
    if (muted && source === Source.CAMERA) {
      slot.track.onended = null;
      slot.track.stop();
      if (slot.transceiver) slot.transceiver.sender.replaceTrack(null).catch(() => {});
    }
    if (slot.info) this.send({ mute: { sid: slot.info.sid, muted } });
  }

  // mutedByNode obeys a moderator, and confirms.
  mutedByNode({ sid, muted }) {
    for (const [source, slot] of this.slots) {
      if (slot.info && slot.info.sid === sid && muted) {
        this.setMuted(source, true);
        return true;
      }
    }
    return false;
  }

  // unpublish ends a source for good; the next offer tells the node.
  unpublish(source) {
    const slot = this.slots.get(source);
    if (!slot) return;
    this.slots.delete(source);
    slot.track.onended = null;
    slot.track.stop();
    if (slot.transceiver && this.publisher) {
      slot.transceiver.stop();
      this.publisher.negotiate();
    }
  }

  // unpublishedByNode drops what the node no longer accepts from us.
  unpublishedByNode(sid) {
    for (const [source, slot] of this.slots) if (slot.info && slot.info.sid === sid) this.unpublish(source);
  }

  // demand switches encodings that nobody watches.
  demand({ trackSid, subscribedCodecs }) {
    for (const slot of this.slots.values()) {
      const codec = subscribedCodecs.find((c) => c.codec === "vp8");
      if (codec && slot.transceiver && slot.info && slot.info.sid === trackSid) {
        const { sender } = slot.transceiver;
        // One change after the other: a sender refuses the second while the first is under way.
        slot.switching = (slot.switching || Promise.resolve()).then(() => enable(sender, codec.qualities))
          .catch((err) => console.warn("encodings not switched", err));
      }
    }
  }

  // publications and remute are for a resume.
  publications() {
    return [...this.slots.values()].filter((s) => s.info).map((s) => ({ cid: s.cid, track: s.info }));
  }

  remute() {
    for (const s of this.slots.values()) if (s.info) this.send({ mute: { sid: s.info.sid, muted: s.muted } });
  }

  stop() {
    for (const { track } of this.slots.values()) {
      track.onended = null;
      track.stop();
    }
    this.slots.clear();
  }
}

function discard(old, track) {
  if (old === track) return;
  old.onended = null;
  old.stop();
}
