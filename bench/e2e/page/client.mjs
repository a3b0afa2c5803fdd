// One participant: joins with the stock livekit-client, notes every event with its
// time, and answers the test's questions about what it receives.
const LK = window.LivekitClient;
const { RoomEvent, Track } = LK;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

// Wall clock with sub-millisecond steps; all pages of one browser agree on it.
const now = () => performance.timeOrigin + performance.now();

/** The strongest frequency of a track over a moment, in hertz; 0 for silence. */
async function loudest(track) {
  const audio = new AudioContext();
  try {
    const spectrum = new AnalyserNode(audio, { fftSize: 4096 });
    audio.createMediaStreamSource(new MediaStream([track])).connect(spectrum);
    await new Promise((r) => setTimeout(r, 250));
    const bins = new Float32Array(spectrum.frequencyBinCount);
    spectrum.getFloatFrequencyData(bins);
    const top = bins.reduce((best, v, i) => (v > bins[best] ? i : best), 0);
    return bins[top] > -60 ? (top * audio.sampleRate) / spectrum.fftSize : 0;
  } finally {
    await audio.close();
  }
}

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

  speaking() {
    return this.room.activeSpeakers.map((p) => p.identity);
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

  /** Publishes a plain colour and hums a tone instead of the microphone's beeps. */
  async sign(rgb, hertz) {
    const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 90 });
    const draw = canvas.getContext("2d");
    let odd = false;
    const timer = setInterval(() => {
      draw.fillStyle = `rgb(${rgb})`;
      draw.fillRect(0, 0, 160, 90);
      // Something must change, or no frame is captured.
      draw.fillStyle = (odd = !odd) ? "#000" : "#fff";
      draw.fillRect(0, 0, 8, 8);
    }, 100);
    const audio = new AudioContext();
    const tone = new OscillatorNode(audio, { frequency: hertz });
    const out = new MediaStreamAudioDestinationNode(audio);
    tone.connect(new GainNode(audio, { gain: 0.5 })).connect(out);
    tone.start();
    const me = this.room.localParticipant;
    const colour = canvas.captureStream().getVideoTracks()[0];
    await me.publishTrack(colour, { name: "colour", source: Track.Source.Unknown, simulcast: false });
    const microphone = me.getTrackPublication(Track.Source.Microphone).track;
    await microphone.replaceTrack(out.stream.getAudioTracks()[0]);
    this.unsign = async () => {
      await microphone.restartTrack();
      await me.unpublishTrack(colour, true);
      clearInterval(timer);
      await audio.close();
    };
  }

  /** The colour and the tone that arrive from someone; null while they do not. */
  async signOf(identity) {
    const from = this.room.remoteParticipants.get(identity);
    const video = from?.getTrackPublicationByName("colour")?.track?.attachedElements[0];
    let rgb = null;
    if (video?.videoWidth) {
      const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 9 });
      const draw = canvas.getContext("2d");
      draw.drawImage(video, 0, 0, 16, 9);
      rgb = [...draw.getImageData(10, 5, 1, 1).data.slice(0, 3)];
    }
    const sound = from?.getTrackPublication(Track.Source.Microphone)?.track?.mediaStreamTrack;
    return { rgb, hertz: sound ? await loudest(sound) : null };
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
      return { name: err.name, reason: LK.ConnectionErrorReason[err.reason], status: err.status, message: err.message };
    }
    await room.disconnect();
    return null;
  }
}

window.client = new Client();
