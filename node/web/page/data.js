// Data packets: numbered when sent reliably, so that after a lost connection the other
// side gets what it missed and nothing twice.
import { encodeData, decodeData } from "./messages.js";

const KEPT = 64; // sent packets kept for a resume

export class DataLine {
  constructor(onPacket) {
    this.onPacket = onPacket;
    this.reset();
  }

  // reset forgets all numbering: a new session has begun.
  reset() {
    this.sequence = 0;
    this.sent = [];
    this.last = new Map(); // last number read, by the sender's sid
  }

  attach(channel) { this.channel = channel; }

  get open() { return Boolean(this.channel) && this.channel.readyState === "open"; }

  send(packet) {
    if (!this.open) return false;
    const sequence = ++this.sequence, bytes = encodeData({ ...packet, sequence });
    this.sent.push({ sequence, bytes });
    if (this.sent.length > KEPT) this.sent.shift();
    this.channel.send(bytes);
    return true;
  }

  // resend repeats what came after the last packet that the node has; 0 means it cannot tell.
  resend(last) {
    if (!last || !this.open) return;
    for (const { sequence, bytes } of this.sent) if (sequence > last) this.channel.send(bytes);
  }

  receive(bytes, reliable) {
    let packet;
    try {
      packet = decodeData(bytes);
    } catch (err) {
      console.warn("data packet not understood", err);
      return;
    }
    if (reliable && packet.sequence && packet.participantSid) {
      if (packet.sequence <= (this.last.get(packet.participantSid) || 0)) return;
      this.last.set(packet.participantSid, packet.sequence);
    }
    this.onPacket(packet);
  }

  // states tells the node, on a resume, how far each sender was read.
  states() {
    return [...this.last].map(([publisherSid, lastSeq]) => ({ publisherSid, lastSeq }));
  }
}
