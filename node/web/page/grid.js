// The tiles: one for each person, one for each shared screen; and the sounds.
import { t } from "./i18n.js";
import { Source, TrackType } from "./messages.js";
import { pictures, microphoneOff } from "./roster.js";
import { capital } from "./lobby.js";

const $ = (id) => document.getElementById(id);
const RATIO = 16 / 9;
const GAP = 8; // px, as in the style sheet
const SMALL = 200; // px, the least width of a tile; below it the list scrolls
const SETTLE = 100; // ms of quiet before the node is told of new sizes

export class Grid {
  // watch(sid, width, height) tells how large a track is seen, in device pixels; 0 is not
  // at all.
  constructor(watch, gone) {
    this.watch = watch;
    this.tiles = new Map(); // by picture key
    this.sounds = new Map(); // audio elements by track sid
    this.silent = false; // the browser refuses to play
    this.sizes = new ResizeObserver(() => this.layout());
    this.sizes.observe($("grid"));
    this.seen = new IntersectionObserver((entries) => {
      for (const e of entries) if (e.target.tile) e.target.tile.visible = e.isIntersecting;
      this.settle();
    });
    gone.addEventListener("abort", () => {
      this.sizes.disconnect();
      this.seen.disconnect();
      clearTimeout(this.settling);
    });
    document.addEventListener("visibilitychange", () => this.settle(), { signal: gone });
  }

  draw(roster, media, local, paused) {
    const wanted = new Map();
    for (const p of roster.list()) {
      for (const picture of pictures(p)) wanted.set(picture.key, { ...picture, person: p, mine: p.identity === roster.me });
    }
    for (const [key, tile] of this.tiles) if (!wanted.has(key)) this.remove(key, tile);
    for (const [key, picture] of wanted) this.drawTile(key, picture, media, local, paused);
    this.order(wanted);
    this.drawSounds(roster, media);
    this.layout();
  }

  drawTile(key, { sid, screen, person, mine }, media, local, paused) {
    const tile = this.tiles.get(key) || this.add(key, screen);
    const slot = mine && local.slots.get(screen ? Source.SCREEN_SHARE : Source.CAMERA);
    const track = mine ? slot && !slot.muted && slot.track : sid && media.get(sid);
    show(tile.video, track || null);
    tile.sid = mine ? "" : sid;
    const { element } = tile;
    const state = [];
    element.classList.toggle("mirror", Boolean(mine && !screen));
    element.classList.toggle("blank", !track);
    element.classList.toggle("speaking", person.speaking && !screen);
    element.classList.toggle("weak", person.weak);
    element.classList.toggle("muted", microphoneOff(person) && !screen);
    if (!screen && microphoneOff(person)) state.push(t("micOff"));
    if (!screen && person.speaking) state.push(t("speaking"));
    if (person.weak) state.push(t("weak"));
    tile.face.textContent = initials(person.name);
    tile.paused.textContent = sid && paused.has(sid) ? t("paused") : "";
    tile.who.textContent = caption(person.name, screen, mine);
    tile.where.textContent = person.region ? place(person) : "";
    tile.state.textContent = state.length ? `, ${state.join(", ")}` : "";
  }

  add(key, screen) {
    const element = $("tile").content.cloneNode(true).querySelector("li");
    const get = (name) => element.querySelector(name);
    const tile = {
      element, screen, visible: true, sid: "", video: get("video"), face: get(".face"), paused: get(".paused"),
      who: get(".who"), where: get(".where"), state: get(".state"),
    };
    element.tile = tile;
    element.classList.toggle("screen", screen);
    tile.video.addEventListener("resize", () => this.settle());
    this.tiles.set(key, tile);
    $("grid").append(element);
    this.seen.observe(element);
    return tile;
  }

  remove(key, tile) {
    this.seen.unobserve(tile.element);
    tile.video.srcObject = null;
    tile.element.remove();
    this.tiles.delete(key);
  }

  // order puts screens first; it moves only what is out of place, so that focus stays.
  order(wanted) {
    const keys = [...wanted.keys()].sort((a, b) => Number(wanted.get(b).screen) - Number(wanted.get(a).screen));
    keys.forEach((key, i) => {
      const element = this.tiles.get(key).element;
      if ($("grid").children[i] !== element) $("grid").insertBefore(element, $("grid").children[i] || null);
    });
  }

  drawSounds(roster, media) {
    const wanted = new Map();
    for (const p of roster.people.values()) {
      if (p.identity === roster.me) continue;
      for (const info of p.tracks.values()) {
        if (info.type === TrackType.AUDIO && media.has(info.sid)) wanted.set(info.sid, media.get(info.sid));
      }
    }
    for (const [sid, audio] of this.sounds) {
      if (wanted.has(sid)) continue;
      audio.srcObject = null;
      audio.remove();
      this.sounds.delete(sid);
    }
    for (const [sid, track] of wanted) {
      if (!this.sounds.has(sid)) {
        const audio = document.createElement("audio");
        this.sounds.set(sid, audio);
        $("sounds").append(audio);
      }
      if (show(this.sounds.get(sid), track)) this.play(this.sounds.get(sid));
    }
  }

  async play(audio) {
    try {
      await audio.play();
    } catch (err) {
      if (err.name === "NotAllowedError") this.silent = true;
    }
  }

  async playAll() {
    this.silent = false;
    await Promise.all([...this.sounds.values()].map((a) => this.play(a)));
  }

  // layout sizes the tiles: as large as they all fit, or small beside a shared screen.
  layout() {
    const grid = $("grid"), { clientWidth: width, clientHeight: height } = grid;
    const screens = [...this.tiles.values()].filter((tile) => tile.screen).length;
    if (!this.tiles.size || !width) return;
    const small = Math.min(SMALL, (width - GAP) / 2);
    const tile = screens ? small : Math.max(small, largest(this.tiles.size, width, height));
    const screen = Math.max(small, largest(screens, width, height - small / RATIO - GAP));
    grid.style.setProperty("--tile", `${Math.floor(tile)}px`);
    grid.style.setProperty("--screen", `${Math.floor(screen)}px`);
    this.settle();
  }

  settle() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.report(), SETTLE);
  }

  // report tells the node which pictures are seen, and how large.
  report() {
    for (const { sid, video, visible } of this.tiles.values()) {
      if (!sid) continue;
      const on = visible && document.visibilityState === "visible";
      const scale = window.devicePixelRatio || 1;
      this.watch(sid, on ? Math.round(video.clientWidth * scale) : 0, on ? Math.round(video.clientHeight * scale) : 0);
    }
  }

  clear() {
    for (const [key, tile] of [...this.tiles]) this.remove(key, tile);
    for (const audio of this.sounds.values()) {
      audio.srcObject = null;
      audio.remove();
    }
    this.sounds.clear();
  }
}

// largest is the width at which count tiles fill a box without scrolling.
function largest(count, width, height) {
  let best = 0;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const w = Math.min((width - GAP * (columns - 1)) / columns, ((height - GAP * (rows - 1)) / rows) * RATIO);
    best = Math.max(best, w);
  }
  return best;
}

// show puts a track into an element; false when it was there.
function show(element, track) {
  const now = element.srcObject ? element.srcObject.getTracks()[0] : null;
  if (now === track) return false;
  element.srcObject = track ? new MediaStream([track]) : null;
  return Boolean(track);
}

function caption(name, screen, mine) {
  if (screen) return mine ? t("yourScreen") : t("screenOf", { name });
  return mine ? t("you", { name }) : name;
}

// place says where somebody is: the region, and the node unless it is called the same.
export function place({ region, node }) {
  return node && node !== region ? t("onNode", { region: capital(region), node }) : capital(region);
}

function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]];
  return letters.map((w) => [...w][0] || "").join("").toUpperCase();
}
