// One tile: a picture, whose it is, and how that person does.
import { t } from "./i18n.js";
import { Source } from "./messages.js";
import { microphoneOff } from "./roster.js";
import { caption, initials, place } from "./names.js";
import { reactions } from "./floor.js";

const $ = (id) => document.getElementById(id);
const FLOAT = 4000; // ms that a reaction is seen
const FLOATING = 6; // reactions on a tile at once

export class Tile {
  constructor(key, screen, onPin) {
    const element = $("tile").content.cloneNode(true).querySelector("li");
    const get = (name) => element.querySelector(name);
    Object.assign(this, {
      key, element, screen, visible: true, sid: "", mine: false, video: get("video"), face: get(".face"), paused: get(".paused"),
      who: get(".who"), where: get(".where"), state: get(".state"), hand: get(".hand"), pin: get(".pin"), float: get(".float"),
      bars: get(".bars"),
    });
    element.tile = this;
    element.classList.toggle("screen", screen);
    for (const event of ["loadedmetadata", "resize"]) this.video.addEventListener(event, () => this.reveal());
    this.pin.addEventListener("click", () => onPin(key));
    element.addEventListener("dblclick", (event) => { if (!event.target.closest("button")) onPin(key); });
  }

  // draw takes the picture, and facts: {pinned, quality, turn} where turn is the person's
  // place among the raised hands, 0 without.
  draw({ sid, screen, person, mine }, track, paused, { pinned, quality, turn }) {
    show(this.video, track || null);
    this.sid = mine ? "" : sid;
    this.mine = mine;
    const { classList } = this.element, silent = microphoneOff(person) && !screen;
    classList.toggle("mirror", Boolean(mine && !screen));
    this.reveal();
    classList.toggle("speaking", person.speaking && !screen);
    classList.toggle("weak", quality === "poor");
    classList.toggle("muted", silent);
    classList.toggle("pinned", pinned);
    this.bars.dataset.quality = quality;
    const name = caption(person.name, screen, mine);
    const state = [
      silent && t("micOff"), !screen && person.speaking && t("speaking"), quality === "poor" && t("weak"),
      quality === "fair" && t("fair"), turn && t("handUp", { n: turn }), pinned && t("pinned"),
    ].filter(Boolean);
    put(this.face, initials(person.name));
    put(this.paused, sid && paused.has(sid) ? t("paused") : "");
    put(this.who, name);
    put(this.where, person.region ? place(person) : "");
    put(this.state, state.length ? `, ${state.join(", ")}` : "");
    put(this.hand.querySelector("span"), turn ? String(turn) : "");
    this.hand.hidden = !turn;
    this.pin.setAttribute("aria-pressed", String(pinned));
    this.pin.setAttribute("aria-label", t("pin", { name }));
    this.pin.title = t(pinned ? "unpinShort" : "pinShort");
  }

  // reveal shows whose picture it is until there is one: a track is there before its first
  // frame.
  reveal() { this.element.classList.toggle("blank", !this.video.srcObject || !this.video.videoWidth); }

  // react lets a reaction rise over the picture.
  react(name) {
    const mark = document.createElement("span");
    mark.textContent = reactions[name];
    while (this.float.children.length >= FLOATING) this.float.firstElementChild.remove();
    this.float.append(mark);
    setTimeout(() => mark.remove(), FLOAT);
  }
}

// put changes a text only when it differs, so that nothing is read twice.
export function put(element, text) { if (element.textContent !== text) element.textContent = text; }

// show puts a track into an element; false when it was there.
export function show(element, track) {
  const now = element.srcObject ? element.srcObject.getTracks()[0] : null;
  if (now === track) return false;
  element.srcObject = track ? new MediaStream([track]) : null;
  return Boolean(track);
}

// localTrack is our own picture, if it is on.
export function localTrack(local, screen) {
  const slot = local.slots.get(screen ? Source.SCREEN_SHARE : Source.CAMERA);
  return slot && !slot.muted ? slot.track : null;
}
