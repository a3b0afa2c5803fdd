// Capture, and how each source is sent.
import { Source, TrackType, Quality } from "./messages.js";
import { request } from "./devices.js";

// CaptureFailed says in kind which sentence to show.
export class CaptureFailed extends Error {
  constructor(kind, cause) {
    super(kind, { cause });
    this.kind = kind;
  }
}

const camera = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
const microphone = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

async function capture(what, open) {
  if (!navigator.mediaDevices) throw new CaptureFailed("insecure");
  try {
    return await open();
  } catch (err) {
    if (err.name === "NotAllowedError") throw new CaptureFailed(`${what}Denied`, err);
    if (err.name === "NotFoundError" || err.name === "OverconstrainedError") throw new CaptureFailed(`${what}Absent`, err);
    throw new CaptureFailed(`${what}Busy`, err);
  }
}

export async function openCamera() {
  const stream = await capture("camera", () => request("camera", camera));
  return stream.getVideoTracks()[0];
}

export async function openMicrophone() {
  const stream = await capture("microphone", () => request("microphone", microphone));
  return stream.getAudioTracks()[0];
}

// openScreen returns the screen's picture and, if the person shares it, its sound. A
// person who closes the browser's dialogue changed their mind, which is no failure.
export async function openScreen() {
  if (!navigator.mediaDevices || !navigator.mediaDevices.getDisplayMedia) throw new CaptureFailed("screenAbsent");
  try {
    const stream = await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } }, audio: true });
    return stream.getTracks();
  } catch (err) {
    if (err.name === "NotAllowedError") return [];
    throw new CaptureFailed("screenBusy", err);
  }
}

// layers are LiveKit's presets for a 16:9 camera, the smallest first.
const layers = [
  { rid: "q", scale: 4, bitrate: 160000, fps: 20 },
  { rid: "h", scale: 2, bitrate: 450000, fps: 20 },
  { rid: "f", scale: 1, bitrate: 1700000, fps: 30 },
];

// description tells how to send a track: the encodings for the browser, the AddTrack
// request for the node.
export function description(track, source) {
  const audio = track.kind === "audio";
  const request = {
    cid: track.id, name: names[source], type: audio ? TrackType.AUDIO : TrackType.VIDEO, source,
    stream: source === Source.CAMERA || source === Source.MICROPHONE ? "camera" : "screen",
  };
  if (audio) return { request, encodings: [{ maxBitrate: source === Source.MICROPHONE ? 32000 : 96000 }] };
  const { width = 1280, height = 720 } = track.getSettings();
  request.width = width;
  request.height = height;
  request.simulcastCodecs = [{ codec: "vp8", cid: track.id }];
  if (source === Source.SCREEN_SHARE) {
    request.layers = [{ quality: Quality.HIGH, width, height, bitrate: 2500000 }];
    return { request, encodings: [{ maxBitrate: 2500000, maxFramerate: 15 }] };
  }
  const longest = Math.max(width, height);
  const used = layers.slice(0, longest >= 960 ? 3 : longest >= 480 ? 2 : 1);
  const top = used[used.length - 1].scale;
  request.layers = used.map((l, i) => ({
    quality: i, rid: l.rid, spatialLayer: i, bitrate: l.bitrate,
    width: Math.round((width * top) / l.scale), height: Math.round((height * top) / l.scale),
  }));
  return {
    request,
    encodings: used.map((l) => ({
      rid: l.rid, scaleResolutionDownBy: l.scale / top, maxBitrate: l.bitrate, maxFramerate: l.fps,
    })),
  };
}

const names = {
  [Source.CAMERA]: "camera", [Source.MICROPHONE]: "microphone",
  [Source.SCREEN_SHARE]: "screen", [Source.SCREEN_SHARE_AUDIO]: "screen_audio",
};

// preferVP8 orders the codecs of a transceiver: every browser decodes VP8.
export function preferVP8(transceiver) {
  const all = RTCRtpSender.getCapabilities("video").codecs;
  const vp8 = all.filter((c) => c.mimeType === "video/VP8");
  if (vp8.length && transceiver.setCodecPreferences) {
    transceiver.setCodecPreferences([...vp8, ...all.filter((c) => c.mimeType !== "video/VP8")]);
  }
}

// enable switches the encodings that somebody watches; qualities come from the node.
export async function enable(sender, qualities) {
  const wanted = new Map(qualities.map((q) => [q.quality, q.enabled]));
  const parameters = sender.getParameters();
  parameters.encodings.forEach((e, i) => {
    // A single encoding without a rid counts as the lowest.
    const on = wanted.get(e.rid ? { q: 0, h: 1, f: 2 }[e.rid] : i);
    if (on !== undefined) e.active = on;
  });
  await sender.setParameters(parameters);
}
