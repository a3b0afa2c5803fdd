// The meeting on the screen: controls, messages to the person, and what ties the session
// to the tiles and the chat.
import { t, failure } from "./i18n.js";
import { Source } from "./messages.js";
import { openCamera, openMicrophone, openScreen } from "./media.js";
import { Grid } from "./grid.js";
import { Sounds } from "./sounds.js";
import { ChatPanel } from "./chatpanel.js";
import { NetworkPanel } from "./network.js";
import { Controls } from "./controls.js";
import { place } from "./names.js";
import { hands, reactions, reactionKeys } from "./floor.js";
import { put } from "./tile.js";

const $ = (id) => document.getElementById(id);
const NOTICE = 7000; // ms that a passing message stays

export class Meeting {
  constructor({ room, onEnd }) {
    this.room = room;
    this.onEnd = onEnd;
    this.early = []; // messages from before the meeting is seen
    this.gone = new AbortController(); // ends every listener with the meeting
    const { signal } = this.gone;
    this.grid = new Grid((sid, width, height) => this.session && this.session.watch(sid, width, height), (tile) => this.pinned(tile), signal);
    this.sounds = new Sounds();
    this.panel = new ChatPanel((text) => this.say(text), (on) => this.aside(on ? "chat" : ""), signal);
    this.network = new NetworkPanel(signal);
    this.network.onClose = () => this.aside("");
  }

  handlers() {
    return {
      state: (name, detail) => this.state(name, detail),
      change: () => this.draw(),
      media: () => this.draw(),
      came: (joined, left) => this.came(joined, left),
      chat: (message) => this.heard(message),
      reaction: (identity, name) => this.reaction(identity, name),
      measured: () => this.draw(),
      muted: () => this.notice(t("mutedByHost")),
      captureEnded: (source) => this.captureEnded(source),
    };
  }

  // run joins; camera and microphone open meanwhile, and their failure keeps nobody out.
  async run(session, { microphone, camera, tracks }) {
    this.session = session;
    this.listen();
    const wanted = [];
    if (microphone) wanted.push(this.open(Source.MICROPHONE, tracks.microphone));
    if (camera) wanted.push(this.open(Source.CAMERA, tracks.camera));
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
    this.controls = new Controls({
      microphone: () => this.toggle(Source.MICROPHONE),
      camera: () => this.toggle(Source.CAMERA),
      screen: () => this.toggleScreen(),
      hand: () => this.session.raise(!this.session.self.hand),
      leave: () => this.session.leave(),
      sound: () => this.sounds.playAll().then(() => this.draw()),
      copy: () => this.copy(),
      view: () => this.turnView(),
      "network-toggle": () => this.aside(this.network.open ? "" : "network"),
      "devices-open": () => this.controls.openDevices(this.session.local),
    }, (name) => this.session.react(name) || this.notice(t("notSent")), (what) => this.choose(what), this.gone.signal);
    addEventListener("pagehide", () => this.session.leave(), { signal: this.gone.signal });
  }

  // aside opens the chat or the network panel in place of the other, or neither; focus
  // follows, and comes back to the button.
  aside(which) {
    const was = this.network.open ? "network" : $("chat").hidden ? "" : "chat";
    $("network").hidden = which !== "network";
    this.panel.open(which === "chat");
    if (which === "chat") {
      $("notice").textContent = ""; // it may be the message that is now read
      $("text").focus();
    } else if (which === "network") {
      $("network-title").focus();
    } else if (was) {
      (was === "chat" ? $("chat-toggle") : $("more")).focus();
    }
    this.draw();
  }

  turnView() {
    this.grid.setView(this.grid.view === "speaker" ? "grid" : "speaker");
    this.notice(t(this.grid.view === "speaker" ? "nowSpeaker" : "nowGrid"));
    this.draw();
  }

  pinned(tile) {
    this.notice(t(this.grid.pinned ? "nowPinned" : "nowUnpinned", { name: tile.who.textContent }));
    this.draw();
  }

  reaction(identity, name) {
    const p = this.session.roster.people.get(identity);
    this.grid.react(identity, name);
    if (p) this.notice(t("reacted", { name: p.name, reaction: t(reactionKeys[name]), emoji: reactions[name] }));
  }

  // choose puts another device to use at once.
  async choose(what) {
    if (what === "speaker") {
      this.sounds.reroute();
      return;
    }
    const source = what === "camera" ? Source.CAMERA : Source.MICROPHONE, { local } = this.session;
    if (!local.slots.has(source) || (what === "camera" && !local.on(source))) return;
    // Some cameras open once only.
    if (what === "camera") local.setMuted(source, true);
    try {
      const track = await (what === "camera" ? openCamera() : openMicrophone());
      if (this.session.ended) track.stop();
      else if (what === "camera") await local.publish(source, track);
      else await local.replace(source, track);
    } catch (err) {
      this.notice(failure(err));
    }
    this.draw();
  }

  state(name, detail) {
    if (name === "connected") {
      const first = $("meeting").hidden;
      $("lobby").hidden = true;
      $("meeting").hidden = false;
      $("meeting-name").textContent = this.room;
      document.title = `${this.room} – maille`;
      this.banner("");
      const alone = first && this.session.roster.people.size === 1;
      this.notice([t(first ? "connected" : "back"), ...(alone ? [t("alone")] : []), ...this.early.splice(0)].join(" "));
      this.draw();
      this.grid.report();
      if (first) $("meeting-name").focus();
    } else if (name === "reconnecting") {
      this.banner(t("reconnecting"));
      this.draw();
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

  // open starts a device, unless the preview has, and publishes it.
  async open(source, ready) {
    const camera = source === Source.CAMERA;
    try {
      const running = ready && ready.readyState === "live";
      const track = running ? ready : await (camera ? openCamera() : openMicrophone());
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
    const name = p ? p.name : message.from;
    this.panel.add(message, name, mine);
    if (!mine && $("chat").hidden) this.notice(t("said", { name, text: message.text.slice(0, 80) }));
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
      const { roster, media } = this.session;
      this.grid.draw(this.session);
      this.sounds.draw(roster, media);
      $("sound").hidden = !this.sounds.silent;
      if (this.sounds.silent) this.banner(t("soundBlocked"));
      else if ($("banner").textContent === t("soundBlocked")) this.banner("");
      this.controls.draw(this.session, this.grid.view, this.network.open);
      this.panel.drawToggle();
      this.network.draw(this.session);
      this.drawPlace();
      this.drawFloor(roster);
    });
  }

  drawPlace() {
    const { self, stats, recovering } = this.session;
    const { rtt, quality } = stats.mine;
    $("place-bars").dataset.quality = recovering ? "" : quality;
    const values = self && self.region && !recovering ? { place: place(self), n: Math.round(rtt) } : null;
    put($("place"), !values ? "" : t(Number.isFinite(rtt) ? "connectedToRtt" : "connectedTo", values));
  }

  // drawFloor says who speaks and who wants to; hands that go up are announced.
  drawFloor(roster) {
    const people = roster.list(), waiting = hands(people);
    const speaking = people.filter((p) => p.speaking).map((p) => p.name);
    put($("speaking"), speaking.length ? t("speaks", { names: speaking.slice(0, 3).join(", ") }) : "");
    put($("hands"), waiting.length ? t("handsUp", { names: waiting.slice(0, 8).map((p, i) => `${i + 1}. ${p.name}`).join(", ") }) : "");
    const up = new Map(waiting.map((p) => [p.identity, p.name]));
    const fresh = [...up].filter(([identity]) => this.up && !this.up.has(identity)).map(([, name]) => name);
    if (fresh.length) this.notice(t("raised", { name: fresh.slice(0, 3).join(", ") }));
    this.up = up;
  }

  hide() {
    this.gone.abort();
    if (this.controls) this.controls.close();
    clearTimeout(this.passing);
    cancelAnimationFrame(this.drawing);
    $("meeting").hidden = true;
    $("notice").textContent = "";
    this.banner("");
    this.grid.clear();
    this.sounds.clear();
    this.panel.clear();
    this.network.clear();
  }
}
