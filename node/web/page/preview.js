// The look into the mirror before joining: picture, level of the microphone, devices.
import { t, failure } from "./i18n.js";
import { memory } from "./names.js";
import { openCamera, openMicrophone } from "./media.js";
import { Choosers, Meter, chime } from "./devices.js";

const $ = (id) => document.getElementById(id);
const open = { camera: openCamera, microphone: openMicrophone };

export class Preview {
  constructor() {
    this.tracks = {}; // by camera, microphone
    this.problems = {}; // sentences, by camera, microphone
    this.turn = { camera: 0, microphone: 0 }; // counts openings, so that a late one is dropped
    this.meter = new Meter($("level"));
    this.choosers = new Choosers(
      { camera: $("camera-choice"), microphone: $("microphone-choice"), speaker: $("speaker-choice") },
      (what) => this.tracks[what] && this.start(what),
    );
    for (const what of ["camera", "microphone"]) {
      const box = $(`with-${what}`);
      box.checked = memory.get(what) !== "off";
      box.addEventListener("change", () => {
        memory.set(what, box.checked ? "on" : "off");
        if (box.checked && this.shown) this.start(what);
        else this.stop(what);
      });
    }
    $("preview-start").addEventListener("click", () => this.startAll());
    $("chime").addEventListener("click", chime);
  }

  // show opens what the browser already allows; asking for permission waits for a click,
  // so that nobody is asked before they know by whom.
  async show() {
    this.shown = true;
    this.draw();
    this.choosers.fill(this.tracks);
    for (const what of ["camera", "microphone"]) {
      if ($(`with-${what}`).checked && (await allowed(what)) && this.shown) this.start(what);
    }
  }

  startAll() {
    for (const what of ["camera", "microphone"]) if ($(`with-${what}`).checked) this.start(what);
    if (!$("with-camera").checked && !$("with-microphone").checked) {
      $("with-camera").checked = true;
      this.start("camera");
    }
  }

  async start(what) {
    const turn = ++this.turn[what], old = this.tracks[what];
    let track = null;
    this.say(what, "");
    // Some cameras open once only: the old device goes before the new one comes.
    if (old) old.stop();
    this.tracks[what] = null;
    try {
      track = await open[what]();
    } catch (err) {
      if (turn === this.turn[what]) this.say(what, failure(err));
    }
    if (turn !== this.turn[what] || !this.shown) {
      if (track) track.stop();
      return;
    }
    this.tracks[what] = track;
    if (track) {
      track.onended = () => {
        if (this.tracks[what] === track) this.stop(what);
      };
    }
    this.choosers.fill(this.tracks);
    this.draw();
  }

  stop(what) {
    this.turn[what]++;
    if (this.tracks[what]) this.tracks[what].stop();
    this.tracks[what] = null;
    this.say(what, "");
    this.draw();
  }

  say(what, text) {
    this.problems[what] = text;
    $("preview-problem").textContent = Object.values(this.problems).filter(Boolean).join(" ");
  }

  draw() {
    const { camera, microphone } = this.tracks, video = $("mirror");
    const shown = video.srcObject && video.srcObject.getTracks()[0];
    if ((shown || null) !== (camera || null)) video.srcObject = camera ? new MediaStream([camera]) : null;
    if (this.metered !== microphone) {
      this.meter.follow(microphone);
      this.metered = microphone;
    }
    video.hidden = !camera;
    $("preview-off").hidden = Boolean(camera);
    $("preview-off").textContent = $("with-camera").checked ? t("previewWaits") : t("previewOff");
    const missing = ["camera", "microphone"].some((what) => $(`with-${what}`).checked && !this.tracks[what]);
    $("preview-start").hidden = !missing;
    $("level-part").hidden = !microphone;
  }

  // take hands the running tracks to the meeting and ends the preview.
  take() {
    const taken = this.tracks;
    for (const track of Object.values(taken)) if (track) track.onended = null;
    this.tracks = {};
    this.hide();
    return taken;
  }

  hide() {
    this.shown = false;
    for (const what of ["camera", "microphone"]) this.stop(what);
  }
}

// allowed tells whether a capture opens without a question. Where the browser does not
// say, names of devices give it away.
async function allowed(what) {
  try {
    return (await navigator.permissions.query({ name: what })).state === "granted";
  } catch { /* not every browser knows these names */ }
  try {
    const kind = what === "camera" ? "videoinput" : "audioinput";
    return (await navigator.mediaDevices.enumerateDevices()).some((d) => d.kind === kind && d.label);
  } catch {
    return false;
  }
}
