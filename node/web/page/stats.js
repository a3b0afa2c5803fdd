// What the browser measures of our own connection and of each picture that we get.

const POLL = 2000; // ms between two looks

// Worst first: the first row that a measurement reaches names the quality. Loss is of
// packets, freeze of time; delays in ms.
const limits = [
  { quality: "poor", loss: 0.08, rtt: 500, freeze: 0.25 },
  { quality: "fair", loss: 0.02, rtt: 250, freeze: 0.08 },
];

// judge names a quality: good, fair or poor, or "" where nothing was measured.
export function judge(measured) {
  const known = Object.keys(measured).filter((k) => Number.isFinite(measured[k]));
  if (!known.length) return "";
  const row = limits.find((l) => known.some((k) => measured[k] >= l[k]));
  return row ? row.quality : "good";
}

export const worst = (...qualities) => ["poor", "fair", "good"].find((q) => qualities.includes(q)) || "";

const grown = (now, was, key) => Math.max(0, (now[key] || 0) - ((was && was[key]) || 0));
const ratio = (part, whole) => (whole > 0 ? part / whole : NaN);

// incoming compares two looks at one inbound-rtp; was may be undefined.
export function incoming(now, was) {
  const lost = grown(now, was, "packetsLost"), received = grown(now, was, "packetsReceived");
  const ms = was ? now.timestamp - was.timestamp : NaN;
  return {
    kind: now.kind, width: now.frameWidth || 0, height: now.frameHeight || 0,
    fps: was ? (grown(now, was, "framesDecoded") * 1000) / ms : NaN,
    bitrate: was ? (grown(now, was, "bytesReceived") * 8000) / ms : NaN,
    loss: was ? ratio(lost, lost + received) : NaN,
    buffer: ratio(grown(now, was, "jitterBufferDelay") * 1000, grown(now, was, "jitterBufferEmittedCount")),
    freeze: was ? Math.min(1, (grown(now, was, "totalFreezesDuration") * 1000) / ms) : NaN,
  };
}

// steady evens out the share of time that a picture stood still; one that was not shown
// before has not frozen, though the browser counts the time.
export function steady(now, last) {
  if (!last || !(last.fps > 0)) return { ...now, freeze: NaN };
  return Number.isFinite(last.freeze) ? { ...now, freeze: (now.freeze + last.freeze) / 2 } : now;
}

// path finds the pair of candidates in use: the round trip to the node in ms, and how
// packets go.
export function path(report) {
  const all = [...report.values()];
  const transport = all.find((s) => s.type === "transport" && s.selectedCandidatePairId);
  const pair = transport ? report.get(transport.selectedCandidatePairId)
    : all.find((s) => s.type === "candidate-pair" && s.nominated && s.state === "succeeded");
  const local = pair && report.get(pair.localCandidateId);
  return {
    rtt: pair && Number.isFinite(pair.currentRoundTripTime) ? pair.currentRoundTripTime * 1000 : NaN,
    protocol: local ? (local.candidateType === "relay" ? "turn" : local.protocol) : "",
  };
}

// outgoing sums what we send, and the loss that the node reports back.
export function outgoing(report, was) {
  let bytes = 0, ms = NaN, loss = NaN;
  for (const s of report.values()) {
    if (s.type === "outbound-rtp") {
      const before = was && was.get(s.id);
      bytes += grown(s, before, "bytesSent");
      if (before) ms = s.timestamp - before.timestamp;
    } else if (s.type === "remote-inbound-rtp" && Number.isFinite(s.fractionLost)) {
      loss = Number.isNaN(loss) ? s.fractionLost : Math.max(loss, s.fractionLost);
    }
  }
  return { bitrate: (bytes * 8000) / ms, loss };
}

export class Stats {
  // peers() returns the two connections, tracks() the MediaStreamTracks by sid; onLook is
  // told after each look.
  constructor(peers, tracks, onLook) {
    Object.assign(this, { peers, tracks, onLook });
    this.mine = { quality: "", rtt: NaN, protocol: "", up: { bitrate: NaN, loss: NaN }, down: { bitrate: NaN, loss: NaN } };
    this.pictures = new Map(); // by track sid, sounds too
    this.before = {};
    this.timer = setInterval(() => this.look(), POLL);
  }

  async look() {
    const { publisher, subscriber } = this.peers();
    if (!publisher || !subscriber || document.visibilityState === "hidden") return;
    let up, down;
    try {
      [up, down] = await Promise.all([publisher.pc.getStats(), subscriber.pc.getStats()]);
    } catch {
      return; // closed meanwhile
    }
    this.read(up, down);
    this.onLook();
  }

  read(up, down) {
    const sids = new Map([...this.tracks()].map(([sid, track]) => [track.id, sid]));
    const last = this.pictures;
    this.pictures = new Map();
    let bitrate = 0, lost = 0, packets = 0, compared = false;
    for (const s of down.values()) {
      const sid = s.type === "inbound-rtp" && sids.get(s.trackIdentifier);
      if (!sid) continue;
      const was = this.before.down && this.before.down.get(s.id);
      this.pictures.set(sid, steady(incoming(s, was), last.get(sid)));
      if (!was) continue;
      compared = true;
      bitrate += this.pictures.get(sid).bitrate;
      lost += grown(s, was, "packetsLost");
      packets += grown(s, was, "packetsReceived");
    }
    const { rtt, protocol } = path(down);
    const mine = { rtt, protocol, up: outgoing(up, this.before.up), down: { bitrate: compared ? bitrate : NaN, loss: ratio(lost, lost + packets) } };
    mine.quality = worst(judge({ rtt, loss: mine.up.loss }), judge({ loss: mine.down.loss }));
    this.mine = mine;
    this.before = { up, down };
  }

  stop() { clearInterval(this.timer); }
}
