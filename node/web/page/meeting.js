// The meeting on the screen: controls, messages to the person, and what ties the session
// to the tiles and the chat.
import { t, failure } from "./i18n.js";
import { Source } from "./messages.js";
import { openCamera, openMicrophone, openScreen } from "./media.js";
import { Grid, place } from "./grid.js";
import { ChatPanel } from "./chatpanel.js";

const $ = (id) => document.getElementById(id);
const NOTICE = 7000; // ms that a passing message stays

export class Meeting {
  constructor({ room, onEnd }) {
    this.room = room;
    this.onEnd = onEnd;
    this.early = []; // messages from before the meeting is seen
    this.gone = new AbortController(); // ends every listener with the meeting
    this.grid = new Grid((sid, width, height) => this.session && this.session.watch(sid, width, height), this.gone.signal);
    this.panel = new ChatPanel((text) => this.say(text), this.gone.signal);
  }

  handlers() {
    return {
      state: (name, detail) => this.state(name, detail),
      change: () => this.draw(),
      media: () => this.draw(),
      came: (joined, left) => this.came(joined, left),
      chat: (message) => this.heard(message),
      muted: () => this.notice(t("mutedByHost")),
      captureEnded: (source) => this.captureEnded(source),
    };
  }

  // run joins; camera and microphone open meanwhile, and their failure keeps nobody out.
  async run(session, { microphone, camera }) {
    this.session = session;
    this.listen();
    const wanted = [];
    if (microphone) wanted.push(this.open(Source.MICROPHONE));
    if (camera) wanted.push(this.open(Source.CAMERA));
    try {
      await session.start();
    } catch (err) {
      session.end(null);
      throw err;
    } finally {
      await Promise.all(wanted);
    }
    this.draw();
  }

  listen() {
    const on = (id, act) => $(id).addEventListener("click", act, { signal: this.gone.signal });
    on("microphone", () => this.toggle(Source.MICROPHONE));
    on("camera", () => this.toggle(Source.CAMERA));
    on("screen", () => this.toggleScreen());
    on("leave", () => this.session.leave());
    on("sound", () => this.grid.playAll());
    on("copy", () => this.copy());
    addEventListener("pagehide", () => this.session.leave(), { signal: this.gone.signal });
    this.ticker = setInterval(() => this.drawPlace(), 5000);
  }

  state(name, detail) {
    if (name === "connected") {
      const first = $("meeting").hidden;
      $("lobby").hidden = true;
      $("meeting").hidden = false;
      $("meeting-name").textContent = this.room;
      document.title = `${this.room} – maille`;
      this.banner("");
      this.notice([t(first ? "connected" : "back"), ...this.early.splice(0)].join(" "));
      this.draw();
      this.grid.report();
      if (first) $("meeting-name").focus();
    } else if (name === "reconnecting") {
      this.banner(t("reconnecting"));
    } else if (name === "ended" && !$("meeting").hidden) {
      this.onEnd(detail);
    }
  }

  banner(text) {
    $("banner").textContent = text;
    $("banner").hidden = !text;
  }

  // notice shows a passing message; those from before the meeting wait for it.
  notice(text) {
    if ($("meeting").hidden) {
      this.early.push(text);
      return;
    }
    $("notice").textContent = text;
    clearTimeout(this.passing);
    this.passing = setTimeout(() => { $("notice").textContent = ""; }, NOTICE);
  }

  // open starts a device and publishes it.
  async open(source) {
    const camera = source === Source.CAMERA;
    try {
      const track = await (camera ? openCamera() : openMicrophone());
      if (this.session.ended) track.stop();
      else await this.session.local.publish(source, track);
    } catch (err) {
      this.notice(failure(err));
    }
    this.draw();
  }

  async toggle(source) {
    const { local } = this.session;
    if (local.on(source)) local.setMuted(source, true);
    else if (source === Source.MICROPHONE && local.slots.has(source)) local.setMuted(source, false);
    else await this.open(source);
    this.draw();
  }

  async toggleScreen() {
    const { local } = this.session;
    if (local.on(Source.SCREEN_SHARE)) {
      this.stopScreen();
      return;
    }
    try {
      for (const track of await openScreen()) {
        await local.publish(track.kind === "video" ? Source.SCREEN_SHARE : Source.SCREEN_SHARE_AUDIO, track);
      }
    } catch (err) {
      this.notice(failure(err));
    }
    this.draw();
  }

  stopScreen() {
    this.session.local.unpublish(Source.SCREEN_SHARE_AUDIO);
    this.session.local.unpublish(Source.SCREEN_SHARE);
    this.notice(t("screenEnded"));
    this.draw();
  }

  captureEnded(source) {
    if (source === Source.SCREEN_SHARE) {
      this.stopScreen();
    } else if (source !== Source.SCREEN_SHARE_AUDIO) {
      this.session.local.unpublish(source);
      this.notice(t("deviceLost"));
    }
    this.draw();
  }

  came(joined, left) {
    const lines = [
      ...joined.map((p) => t("cameIn", { name: p.name })), ...left.map((p) => t("wentOut", { name: p.name })),
    ];
    this.notice(lines.slice(0, 3).join(". "));
  }

  say(text) {
    const message = this.session.say(text);
    if (message) this.heard(message);
    else this.notice(t("chatNotSent"));
    return Boolean(message);
  }

  heard(message) {
    const { roster } = this.session;
    const p = roster.people.get(message.from);
    const mine = message.from === roster.me;
    this.panel.add(message, p ? p.name : message.from, mine);
    this.drawControls();
  }

  async copy() {
    const link = `${location.origin}/#${new URLSearchParams({ room: this.room })}`;
    try {
      await navigator.clipboard.writeText(link);
      this.notice(t("copied"));
    } catch {
      this.notice(link);
    }
  }

  // draw shows the present state; calls in one frame make one drawing.
  draw() {
    if (this.drawing || !this.session) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      if (this.session.ended || $("meeting").hidden) return;
      const { roster, media, local, paused } = this.session;
      this.grid.draw(roster, media, local, paused);
      $("sound").hidden = !this.grid.silent;
      if (this.grid.silent) this.banner(t("soundBlocked"));
      else if ($("banner").textContent === t("soundBlocked")) this.banner("");
      this.drawControls();
      this.drawPlace();
    });
  }

  drawControls() {
    const { local } = this.session;
    const set = (id, icon, label) => {
      $(id).querySelector("use").setAttribute("href", icon);
      $(id).querySelector("span").textContent = label;
    };
    const mic = local.on(Source.MICROPHONE), cam = local.on(Source.CAMERA), screen = local.on(Source.SCREEN_SHARE);
    set("microphone", mic ? "#i-mic" : "#i-mic-off", t(mic ? "muteMicrophone" : "unmuteMicrophone"));
    set("camera", cam ? "#i-cam" : "#i-cam-off", t(cam ? "stopCamera" : "startCamera"));
    set("screen", screen ? "#i-screen-off" : "#i-screen", t(screen ? "stopScreen" : "startScreen"));
    $("microphone").classList.toggle("off", !mic);
    $("camera").classList.toggle("off", !cam);
    $("screen").classList.toggle("live", screen);
    $("screen").hidden = !(navigator.mediaDevices && navigator.mediaDevices.getDisplayMedia);
    this.panel.drawToggle();
  }

  drawPlace() {
    const { roster, socket } = this.session;
    const me = roster.people.get(roster.me);
    if (!me || !me.region) {
      $("place").textContent = "";
      return;
    }
    const values = { place: place(me), n: socket ? Math.round(socket.rtt) : 0 };
    $("place").textContent = t(socket && socket.rtt ? "connectedToRtt" : "connectedTo", values);
  }

  hide() {
    this.gone.abort();
    clearInterval(this.ticker);
    clearTimeout(this.passing);
    cancelAnimationFrame(this.drawing);
    $("meeting").hidden = true;
    $("notice").textContent = "";
    this.banner("");
    this.grid.clear();
    this.panel.clear();
  }
}
