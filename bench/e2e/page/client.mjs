// One participant: joins with the stock livekit-client, notes every event with its
// time, and answers the test's questions about what it receives.
const LK = window.LivekitClient;
const { RoomEvent, Track } = LK;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

// Wall clock with sub-millisecond steps; all pages of one browser agree on it.
const now = () => performance.timeOrigin + performance.now();

class Client {
  constructor() {
    this.events = [];
    this.firstFrame = {};
    this.room = null;
  }

  note(type, fields = {}) {
    this.events.push({ type, at: now(), ...fields });
  }

  async join({ url, token, adaptiveStream = false, dynacast = true, publish = true }) {
    LK.setLogLevel("debug");
    const room = new LK.Room({
      adaptiveStream,
      dynacast,
      videoCaptureDefaults: { resolution: { width: 640, height: 360, frameRate: 15 } },
      publishDefaults: { videoCodec: "vp8", simulcast: true, stopMicTrackOnMute: false },
    });
    this.room = room;
    this.listen(room);
    const t0 = now();
    this.started = t0;
    await room.connect(url, token, { maxRetries: 1, websocketTimeout: 10_000, peerConnectionTimeout: 10_000 });
    const connected = now() - t0;
    document.getElementById("who").textContent = `${room.localParticipant.identity} in ${room.name} by ${url}`;
    if (publish) {
      await room.localParticipant.enableCameraAndMicrophone();
    }
    return {
      connected,
      published: now() - t0,
      identity: room.localParticipant.identity,
      sid: room.localParticipant.sid,
      room: room.name,
      server: room.serverInfo,
    };
  }

  listen(room) {
    const who = (p) => p?.identity ?? null;
    const pub = (p) => ({ sid: p?.trackSid, kind: p?.kind, source: p?.source });
    room
      .on(RoomEvent.ParticipantConnected, (p) => this.note("joined", { from: who(p) }))
      .on(RoomEvent.ParticipantDisconnected, (p) => this.note("left", { from: who(p) }))
      .on(RoomEvent.TrackSubscribed, (t, p, from) => this.show(t, p, from))
      .on(RoomEvent.TrackUnsubscribed, (t, p, from) => {
        t.detach().forEach((el) => el.closest("figure")?.remove());
        this.note("unsubscribed", { from: who(from), ...pub(p) });
      })
      .on(RoomEvent.TrackSubscriptionFailed, (sid, from) => this.note("subscription failed", { from: who(from), sid }))
      .on(RoomEvent.TrackPublished, (p, from) => this.note("published", { from: who(from), ...pub(p) }))
      .on(RoomEvent.TrackUnpublished, (p, from) => this.note("unpublished", { from: who(from), ...pub(p) }))
      .on(RoomEvent.TrackMuted, (p, from) => this.note("muted", { from: who(from), ...pub(p) }))
      .on(RoomEvent.TrackUnmuted, (p, from) => this.note("unmuted", { from: who(from), ...pub(p) }))
      .on(RoomEvent.ActiveSpeakersChanged, (list) => this.note("speakers", { list: list.map(who) }))
      .on(RoomEvent.Reconnecting, () => this.note("reconnecting"))
      .on(RoomEvent.SignalReconnecting, () => this.note("signal reconnecting"))
      .on(RoomEvent.Reconnected, () => this.note("reconnected"))
      .on(RoomEvent.Disconnected, (reason) => this.note("disconnected", { reason: LK.DisconnectReason[reason] ?? reason }))
      .on(RoomEvent.DataReceived, (bytes, from, _kind, topic) =>
        this.note("data", { from: who(from), topic, text: decoder.decode(bytes) }),
      )
      .on(RoomEvent.ChatMessage, (m, from) => this.note("chat", { from: who(from), text: m.message }));
    room.registerTextStreamHandler("lk.chat", async (reader, from) => {
      const text = await reader.readAll();
      this.note("text", { from: from.identity, text });
    });
  }

  show(track, publication, from) {
    this.note("subscribed", { from: from.identity, kind: publication.kind, source: publication.source, sid: publication.trackSid });
    const el = track.attach();
    const figure = document.createElement("figure");
    figure.append(el, from.identity);
    document.getElementById("tiles").append(figure);
    const key = `${from.identity}/${publication.source}`;
    if (track.kind === Track.Kind.Video && !(key in this.firstFrame)) {
      el.requestVideoFrameCallback(() => (this.firstFrame[key] = now()));
    }
  }

  publication(identity, source) {
    const p = this.room.remoteParticipants.get(identity)?.getTrackPublication(source);
    if (!p) throw new Error(`no ${source} of ${identity} known here`);
    return p;
  }

  /** What arrives, by "identity/source". */
  async received() {
    const out = {};
    for (const [identity, p] of this.room.remoteParticipants) {
      for (const pub of p.trackPublications.values()) {
        const row = { subscribed: pub.isSubscribed, muted: pub.isMuted, sid: pub.trackSid };
        out[`${identity}/${pub.source}`] = row;
        const stats = await pub.track?.getRTCStatsReport();
        stats?.forEach((s) => {
          if (s.type !== "inbound-rtp") return;
          row.packets = s.packetsReceived;
          row.bytes = s.bytesReceived;
          row.lost = s.packetsLost;
          if (s.kind === "video") {
            Object.assign(row, { frames: s.framesDecoded ?? 0, keyframes: s.keyFramesDecoded, width: s.frameWidth, height: s.frameHeight });
            Object.assign(row, { freezes: s.freezeCount, nack: s.nackCount, pli: s.pliCount });
          } else {
            Object.assign(row, { samples: s.totalSamplesReceived ?? 0, energy: s.totalAudioEnergy ?? 0, level: s.audioLevel });
            row.concealed = s.concealedSamples;
          }
        });
        const el = pub.track?.attachedElements[0];
        if (el) Object.assign(row, { time: el.currentTime, elWidth: el.videoWidth, elHeight: el.videoHeight });
      }
    }
    return out;
  }

  /** What this participant sends, one row for each encoding. */
  async sent() {
    const out = [];
    for (const pub of this.room.localParticipant.trackPublications.values()) {
      const stats = await pub.track?.getRTCStatsReport();
      stats?.forEach((s) => {
        if (s.type !== "outbound-rtp") return;
        const { rid, kind, packetsSent, framesSent, frameWidth, frameHeight, active, qualityLimitationReason } = s;
        out.push({ source: pub.source, rid, kind, packetsSent, framesSent, frameWidth, frameHeight, active, qualityLimitationReason });
      });
    }
    return out;
  }

  firstFrames() {
    return { started: this.started, firstFrame: this.firstFrame };
  }

  roster() {
    return [...this.room.remoteParticipants.keys()].sort();
  }

  mark() {
    return this.events.length;
  }

  /** Events since a mark that have all the wanted fields. */
  seen(want, since = 0) {
    return this.events.slice(since).filter((e) => Object.entries(want).every(([k, v]) => e[k] === v));
  }

  publishData(text, options) {
    return this.room.localParticipant.publishData(encoder.encode(text), options);
  }

  sendText(text) {
    return this.room.localParticipant.sendText(text, { topic: "lk.chat" }).then(() => {});
  }

  sendChat(text) {
    return this.room.localParticipant.sendChatMessage(text).then(() => {});
  }

  microphone(on) {
    return this.room.localParticipant.setMicrophoneEnabled(on).then(() => {});
  }

  camera(on) {
    return this.room.localParticipant.setCameraEnabled(on).then(() => {});
  }

  screen(on) {
    return this.room.localParticipant.setScreenShareEnabled(on).then((p) => p?.trackSid);
  }

  quality(identity, source, level) {
    this.publication(identity, source).setVideoQuality(LK.VideoQuality[level]);
  }

  /** Gives one picture another size on the page, which adaptive stream reports. */
  resize(identity, source, width, height) {
    const el = this.publication(identity, source).track.attachedElements[0];
    Object.assign(el.style, { width: `${width}px`, height: `${height}px` });
  }

  subscribe(identity, source, on) {
    this.publication(identity, source).setSubscribed(on);
  }

  leave() {
    return this.room.disconnect();
  }

  /** Tries to join and reports the refusal; a success is the test's failure. */
  async refused(url, token) {
    const room = new LK.Room();
    try {
      await room.connect(url, token, { maxRetries: 1, websocketTimeout: 5_000, peerConnectionTimeout: 5_000 });
    } catch (err) {
      return { name: err.name, reason: err.reasonName, status: err.status, message: err.message };
    }
    await room.disconnect();
    return null;
  }
}

window.client = new Client();
