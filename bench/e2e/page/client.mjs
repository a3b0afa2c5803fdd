// One participant: joins with the stock livekit-client, notes every event with its
// time, and answers the test's questions about what it receives.
import { colourOf, hummed, inbound, loudest, outbound, painted, sided, sides, transports } from "./media.mjs";

const LK = window.LivekitClient;
const { RoomEvent, Track } = LK;
const decoder = new TextDecoder();
const encoder = new TextEncoder();

// Wall clock with sub-millisecond steps; all pages of one browser agree on it.
const now = () => performance.timeOrigin + performance.now();

/** Makes sections to receive video with take one codec, as a browser does that knows no other. */
function receiveOnly(mime) {
  const add = RTCPeerConnection.prototype.addTransceiver;
  RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
    const t = add.call(this, kind, init);
    if (kind === "video" && init?.direction === "recvonly") {
      t.setCodecPreferences(RTCRtpReceiver.getCapabilities("video").codecs.filter((c) => [mime, "video/rtx"].includes(c.mimeType)));
    }
    return t;
  };
}

class Client {
  constructor() {
    this.events = [];
    this.firstFrame = {};
    this.tiles = new Map();
    this.room = null;
  }

  note(type, fields = {}) {
    this.events.push({ type, at: now(), ...fields });
  }

  /**
   * Joins. v0 keeps two peer connections, otherwise it is the SDK's default. key turns
   * end-to-end encryption on; only is the one video codec to receive; room holds any other
   * option of the SDK's Room.
   */
  async join({ url, token, v0 = false, publish = true, key, only, connect = {}, room: more = {}, adaptiveStream = false }) {
    LK.setLogLevel("debug");
    if (only) receiveOnly(only);
    const options = {
      adaptiveStream,
      dynacast: true,
      videoCaptureDefaults: { resolution: { width: 640, height: 360, frameRate: 15 } },
      ...more,
      publishDefaults: { videoCodec: "vp8", simulcast: true, stopMicTrackOnMute: false, ...more.publishDefaults },
    };
    if (v0) options.singlePeerConnection = false;
    if (key) {
      this.keys = new LK.ExternalE2EEKeyProvider();
      options.encryption = { keyProvider: this.keys, worker: new Worker("/livekit-client.e2ee.worker.js") };
      await this.keys.setKey(key);
    }
    const room = new LK.Room(options);
    this.room = room;
    this.listen(room);
    if (key) await room.setE2EEEnabled(true);
    const t0 = now();
    this.started = t0;
    await room.connect(url, token, { maxRetries: 1, websocketTimeout: 10_000, peerConnectionTimeout: 10_000, ...connect });
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
      ...this.paths(),
    };
  }

  /** Where the signalling socket went, and how many peer connections there are. */
  paths() {
    const { publisher, subscriber } = this.room.engine.pcManager;
    const last = window.sockets.at(-1) ?? "";
    return { path: new URL(last).pathname, offered: last.includes("join_request="), peers: [publisher, subscriber].filter(Boolean).length };
  }

  listen(room) {
    const who = (p) => p?.identity ?? null;
    const pub = (p) => ({ sid: p?.trackSid, kind: p?.kind, source: p?.source });
    room
      .on(RoomEvent.ParticipantConnected, (p) => this.note("joined", { from: who(p) }))
      .on(RoomEvent.ParticipantDisconnected, (p) => this.note("left", { from: who(p) }))
      .on(RoomEvent.TrackSubscribed, (t, p, from) => this.show(t, p, from))
      .on(RoomEvent.TrackUnsubscribed, (t, p, from) => {
        t.detach();
        this.tiles.get(t)?.remove(); // the SDK may have detached it before
        this.tiles.delete(t);
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
    this.tiles.set(track, figure);
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
      for (const pub of p.trackPublications.values()) out[`${identity}/${pub.source}`] = await inbound(pub);
    }
    return out;
  }

  sent() {
    return outbound(this.room.localParticipant);
  }

  transports() {
    return transports(this.room);
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

  /** Shares the screen; with a tone in place of the system's sound, if a frequency is given. */
  async screen(on, hertz) {
    const capture = navigator.mediaDevices.getDisplayMedia;
    const tone = on && hertz ? hummed(hertz) : null;
    if (tone) {
      navigator.mediaDevices.getDisplayMedia = async (wish) => {
        const stream = await capture.call(navigator.mediaDevices, { ...wish, audio: false });
        stream.addTrack(tone.track);
        return stream;
      };
    }
    try {
      const published = await this.room.localParticipant.setScreenShareEnabled(on, { audio: Boolean(tone) });
      return published?.trackSid;
    } finally {
      if (tone) delete navigator.mediaDevices.getDisplayMedia;
    }
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

  /** Hums a tone instead of the microphone's beeps, which are too short to be speech. */
  async hum(hertz) {
    const tone = hummed(hertz);
    const microphone = this.room.localParticipant.getTrackPublication(Track.Source.Microphone).track;
    await microphone.replaceTrack(tone.track);
    this.unhum = async () => {
      await microphone.restartTrack();
      await tone.end();
    };
  }

  /** Publishes a plain colour and hums a tone. */
  async sign(rgb, hertz) {
    const colour = painted(rgb, 160, 90);
    const me = this.room.localParticipant;
    await me.publishTrack(colour.track, { name: "colour", source: Track.Source.Unknown, simulcast: false });
    await this.hum(hertz);
    this.unsign = async () => {
      await this.unhum();
      await me.unpublishTrack(colour.track, true);
      colour.end();
    };
  }

  /** The colour and the tone that arrive from someone; null while they do not. */
  async signOf(identity) {
    const from = this.room.remoteParticipants.get(identity);
    const video = from?.getTrackPublicationByName("colour")?.track?.attachedElements[0];
    const sound = from?.getTrackPublication(Track.Source.Microphone)?.track?.mediaStreamTrack;
    return { rgb: colourOf(video), hertz: sound ? await loudest(sound) : null };
  }

  /** The tone that arrives of someone, in hertz. */
  async toneOf(identity, source) {
    const sound = this.room.remoteParticipants.get(identity)?.getTrackPublication(source)?.track?.mediaStreamTrack;
    return sound ? loudest(sound) : null;
  }

  /** Publishes music: a tone on the left. */
  async music(hertz) {
    const tone = sided(hertz);
    await this.room.localParticipant.publishTrack(tone.track, { name: "music", source: Track.Source.Unknown, forceStereo: true });
    this.unmusic = async () => {
      await this.room.localParticipant.unpublishTrack(tone.track, true);
      await tone.end();
    };
  }

  /** How loud the left and the right of someone's music arrive; null while it does not. */
  async sidesOf(identity) {
    const sound = this.room.remoteParticipants.get(identity)?.getTrackPublicationByName("music")?.track?.mediaStreamTrack;
    return sound ? sides(sound) : null;
  }

  /** The colour that is shown of someone; null before a first frame. */
  colour(identity, source = Track.Source.Camera) {
    return colourOf(this.room.remoteParticipants.get(identity)?.getTrackPublication(source)?.track?.attachedElements[0]);
  }

  /** Publishes a picture of one colour, or of noise, with the given codec and options, instead of a camera. */
  async paint(rgb, width, height, options) {
    const colour = painted(rgb, width, height, options.fps);
    const pub = await this.room.localParticipant.publishTrack(colour.track, { source: Track.Source.Camera, ...options });
    this.unpaint = async () => {
      await this.room.localParticipant.unpublishTrack(colour.track, true);
      colour.end();
    };
    return { sid: pub.trackSid, mime: pub.mimeType };
  }

  leave() {
    return this.room.disconnect();
  }

  /** Joins once more beside the room of this page; milliseconds to the first frame of someone, then leaves. */
  async sample(url, token, v0, identity) {
    const room = new LK.Room(v0 ? { singlePeerConnection: false } : {});
    const el = document.createElement("video");
    document.getElementById("tiles").replaceChildren(el);
    const shown = new Promise((resolve) => {
      room.on(RoomEvent.TrackSubscribed, (track, _pub, from) => {
        if (track.kind !== Track.Kind.Video || from.identity !== identity) return;
        el.requestVideoFrameCallback(() => resolve(now()));
        track.attach(el);
      });
    });
    const t0 = now();
    await room.connect(url, token, { maxRetries: 1 });
    const took = (await shown) - t0;
    await room.disconnect();
    return took;
  }

  /** Tries to join and reports the refusal; a success is the test's failure. */
  async refused(url, token, v0) {
    const room = new LK.Room(v0 ? { singlePeerConnection: false } : {});
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
