// Cameras, microphones and speakers: which there are and which the person chose.
import { t } from "./i18n.js";
import { memory } from "./names.js";

const kinds = { camera: "videoinput", microphone: "audioinput", speaker: "audiooutput" };
const LOUD = 0.35; // of full scale; normal speech fills the meter

export const canChooseSpeaker = "setSinkId" in HTMLMediaElement.prototype;

// request opens a camera or a microphone: the chosen one, or any when that is gone.
export async function request(what, constraints) {
  const kind = what === "camera" ? "video" : "audio", id = memory.get(`${what}-id`);
  if (id) {
    try {
      return await navigator.mediaDevices.getUserMedia({ [kind]: { ...constraints, deviceId: { exact: id } } });
    } catch (err) {
      if (err.name !== "OverconstrainedError" && err.name !== "NotFoundError") throw err;
    }
  }
  return navigator.mediaDevices.getUserMedia({ [kind]: constraints });
}

export const speaker = () => memory.get("speaker-id") || "";

// Choosers keeps the selects of one place (lobby or meeting) in step with the devices.
export class Choosers {
  // selects are by camera, microphone, speaker; onChoose is told which of them changed.
  constructor(selects, onChoose, gone) {
    this.selects = selects;
    for (const [what, select] of Object.entries(selects)) {
      select.addEventListener("change", () => {
        memory.set(`${what}-id`, select.value);
        onChoose(what);
      }, { signal: gone });
    }
    if (navigator.mediaDevices) navigator.mediaDevices.addEventListener("devicechange", () => this.fill(), { signal: gone });
    this.fill();
  }

  // fill lists the devices; their names come only after a permission. tracks, by camera
  // and microphone, tell which one runs.
  async fill(tracks = this.tracks || {}) {
    this.tracks = tracks;
    let all = [];
    try {
      all = await navigator.mediaDevices.enumerateDevices();
    } catch { /* an insecure page has no devices */ }
    for (const [what, select] of Object.entries(this.selects)) {
      const list = all.filter((d) => d.kind === kinds[what] && d.deviceId);
      const running = tracks[what] && tracks[what].getSettings().deviceId;
      const wanted = running || memory.get(`${what}-id`) || "";
      select.replaceChildren(...list.map((d, i) => new Option(d.label || t("device", { n: i + 1 }), d.deviceId)));
      if (!list.length) select.append(new Option(t(what === "speaker" ? "speakerDefault" : "deviceUnknown"), ""));
      select.value = list.some((d) => d.deviceId === wanted) ? wanted : list.length ? list[0].deviceId : "";
      select.disabled = list.length < 1;
      if (what === "speaker") select.closest("[data-part]").hidden = !canChooseSpeaker;
    }
  }
}

// Meter shows how loud a microphone is.
export class Meter {
  constructor(element) { this.element = element; }

  follow(track) {
    this.stop();
    if (!track || !window.AudioContext) return;
    this.context = new AudioContext();
    const analyser = this.context.createAnalyser(), samples = new Float32Array(analyser.fftSize = 1024);
    this.context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    this.timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
      this.element.value = Math.max(Math.min(1, rms / LOUD), (this.element.value || 0) * 0.8);
    }, 80);
  }

  stop() {
    clearInterval(this.timer);
    if (this.context) this.context.close();
    this.context = null;
    this.element.value = 0;
  }
}

// chime plays a short tone on the chosen speaker.
export async function chime() {
  const context = new AudioContext(), gain = context.createGain(), tone = context.createOscillator();
  const out = context.createMediaStreamDestination(), audio = new Audio();
  tone.frequency.value = 660;
  gain.gain.setValueAtTime(0.2, context.currentTime);
  gain.gain.exponentialRampToValueAtTime(0.001, context.currentTime + 0.8);
  tone.connect(gain).connect(out);
  audio.srcObject = out.stream;
  try {
    await route(audio);
    tone.start();
    tone.stop(context.currentTime + 0.9);
    await audio.play();
  } catch (err) {
    console.warn("no test tone", err);
  }
  setTimeout(() => context.close(), 1500);
}

// route sends an element's sound to the chosen speaker, or leaves it on the usual one.
export async function route(audio) {
  if (!canChooseSpeaker || (audio.sinkId || "") === speaker()) return;
  try {
    await audio.setSinkId(speaker());
  } catch {
    await audio.setSinkId("").catch(() => {});
  }
}
