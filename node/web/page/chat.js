// Chat as LiveKit apps do it: a text stream on lk.chat (header, chunks, trailer) and, for
// older clients, a copy as a user packet; both are understood, and each message shows once.
import { Operation } from "./messages.js";

const TOPIC = "lk.chat", LEGACY_TOPIC = "lk-chat-topic";
const CHUNK = 15000; // bytes, the size LiveKit clients split at
const MAX_TEXT = 16 << 10; // bytes of one message; longer ones are cut
const MAX_OPEN = 64; // unfinished streams kept
const encoder = new TextEncoder(), decoder = new TextDecoder();

// write returns the packets of a message, in the order to send them.
export function write(text, id, now) {
  const bytes = encoder.encode(text);
  const packets = [{
    streamHeader: {
      streamId: id, timestamp: now, topic: TOPIC, mimeType: "text/plain", totalLength: bytes.length,
      textHeader: { operationType: Operation.CREATE },
    },
  }];
  for (let at = 0, index = 0; at < bytes.length; at += CHUNK, index++) {
    packets.push({ streamChunk: { streamId: id, chunkIndex: index, content: bytes.subarray(at, at + CHUNK) } });
  }
  packets.push({ streamTrailer: { streamId: id } });
  const legacy = { id, timestamp: now, message: text, ignoreLegacy: true };
  packets.push({ user: { payload: encoder.encode(JSON.stringify(legacy)), topic: LEGACY_TOPIC } });
  return packets;
}

// Reader turns received packets into messages.
export class Reader {
  constructor() {
    this.open = new Map(); // stream id to what has arrived of it
    this.seen = new Set(); // ids shown
  }

  // read takes a DataPacket and returns {id, from, text, timestamp, edited} or null.
  read(packet) {
    const from = packet.participantIdentity;
    if (packet.streamHeader) return this.header(packet.streamHeader, from);
    if (packet.streamChunk) return this.chunk(packet.streamChunk, from);
    if (packet.streamTrailer) return this.trailer(packet.streamTrailer, from);
    if (packet.chatMessage) return this.legacy(packet.chatMessage, from);
    if (packet.user && packet.user.topic === LEGACY_TOPIC) {
      try {
        const m = JSON.parse(decoder.decode(packet.user.payload));
        // ignoreLegacy says that the same text comes as a stream.
        return m.ignoreLegacy ? null : this.legacy(m, from);
      } catch {
        return null;
      }
    }
    return null;
  }

  header(h, from) {
    // Compressed streams only come to those who announce that they inflate.
    if (h.topic !== TOPIC || !h.textHeader || h.compression !== 0) return null;
    if (this.open.size >= MAX_OPEN) this.open.delete(this.open.keys().next().value);
    const stream = { header: h, size: 0, parts: [] };
    if (h.inlineContent) {
      stream.parts.push(h.inlineContent);
      return this.finish(stream, from);
    }
    this.open.set(`${from}/${h.streamId}`, stream);
    return null;
  }

  chunk(c, from) {
    const stream = this.open.get(`${from}/${c.streamId}`);
    if (stream && stream.size < MAX_TEXT) {
      stream.parts[c.chunkIndex < 1000 ? c.chunkIndex : 999] = c.content;
      stream.size += c.content.length;
    }
    return null;
  }

  trailer(t, from) {
    const key = `${from}/${t.streamId}`, stream = this.open.get(key);
    this.open.delete(key);
    return stream && !t.reason ? this.finish(stream, from) : null;
  }

  finish({ header, parts }, from) {
    const bytes = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    parts.forEach((p) => { bytes.set(p, at); at += p.length; });
    const text = decoder.decode(bytes.subarray(0, MAX_TEXT));
    const edit = header.textHeader.operationType === Operation.UPDATE;
    return this.once({ id: header.streamId, from, text, timestamp: header.timestamp, edited: edit });
  }

  legacy(m, from) {
    if (typeof m.message !== "string" || m.deleted) return null;
    return this.once({
      id: String(m.id || ""), from, text: m.message.slice(0, MAX_TEXT),
      timestamp: Number(m.timestamp) || 0, edited: Boolean(m.editTimestamp),
    });
  }

  once(m) {
    const key = `${m.from}/${m.id}`;
    if (m.id && this.seen.has(key) && !m.edited) return null;
    this.seen.add(key);
    return m.text.trim() ? m : null;
  }
}
