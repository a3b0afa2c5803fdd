// The tiles: one for each person, one for each shared screen, and which is large.
import { pictures } from "./roster.js";
import { hands } from "./floor.js";
import { judge, worst } from "./stats.js";
import { Spotlight, arrange, large } from "./stage.js";
import { Tile, localTrack } from "./tile.js";
import { memory } from "./names.js";

const $ = (id) => document.getElementById(id);
const SETTLE = 100; // ms of quiet before the node is told of new sizes

export class Grid {
  // watch(sid, width, height) tells how large a track is seen, in device pixels; 0 is not
  // at all. onPin is told when a pin changed.
  constructor(watch, onPin, gone) {
    this.watch = watch;
    this.onPin = onPin;
    this.tiles = new Map(); // by picture key
    this.spotlight = new Spotlight();
    this.view = memory.get("view") === "speaker" ? "speaker" : "grid";
    this.pinned = "";
    this.stage = ""; // key of the large picture
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

  setView(view) {
    this.view = view;
    memory.set("view", view);
  }

  // pin holds a picture large until it is let go or ends.
  pin(key) {
    this.pinned = this.pinned === key ? "" : key;
    this.onPin(this.tiles.get(key));
  }

  draw(session) {
    const { roster, media, local, paused, stats } = session;
    const wanted = new Map(), waiting = hands(roster.list());
    for (const p of roster.list()) {
      for (const picture of pictures(p)) wanted.set(picture.key, { ...picture, person: p, mine: p.identity === roster.me });
    }
    for (const [key, tile] of this.tiles) if (!wanted.has(key)) this.remove(key, tile);
    if (!wanted.has(this.pinned)) this.pinned = "";
    for (const [key, picture] of wanted) {
      const { person, sid, screen, mine } = picture, tile = this.tiles.get(key) || this.add(key, screen);
      tile.draw(picture, mine ? localTrack(local, screen) : sid && media.get(sid), paused, {
        pinned: key === this.pinned, quality: quality(picture, stats), turn: screen ? 0 : waiting.indexOf(person) + 1,
      });
    }
    this.order(wanted);
    const speaker = this.spotlight.follow(roster.list().filter((p) => p.identity !== roster.me), performance.now());
    this.stage = large([...wanted.values()], { pinned: this.pinned, view: this.view, speaker });
    this.layout();
  }

  add(key, screen) {
    const tile = new Tile(key, screen, (k) => this.pin(k));
    tile.video.addEventListener("resize", () => this.settle());
    this.tiles.set(key, tile);
    $("grid").append(tile.element);
    this.seen.observe(tile.element);
    return tile;
  }

  remove(key, tile) {
    this.seen.unobserve(tile.element);
    tile.video.srcObject = null;
    tile.element.remove();
    this.tiles.delete(key);
  }

  // order puts screens first; it moves only what is out of place, so that focus stays. The
  // large tile keeps its place in the list: whoever listens to it is not led astray.
  order(wanted) {
    const keys = [...wanted.keys()].sort((a, b) => Number(wanted.get(b).screen) - Number(wanted.get(a).screen));
    keys.forEach((key, i) => {
      const element = this.tiles.get(key).element;
      if ($("grid").children[i] !== element) $("grid").insertBefore(element, $("grid").children[i] || null);
    });
  }

  layout() {
    const grid = $("grid"), { clientWidth: width, clientHeight: height } = grid;
    if (!this.tiles.size || !width) return;
    const staged = this.tiles.has(this.stage);
    const sizes = arrange(this.tiles.size, width, height, staged);
    for (const [name, value] of Object.entries({ tile: sizes.tile, big: sizes.big, "big-height": sizes.bigHeight })) {
      grid.style.setProperty(`--${name}`, `${value || 0}px`);
    }
    grid.style.setProperty("--rows", String(Math.max(1, this.tiles.size - 1)));
    grid.classList.toggle("staged", staged);
    grid.classList.toggle("side", sizes.side);
    for (const [key, { element }] of this.tiles) element.classList.toggle("big", key === this.stage);
    this.settle();
  }

  // react shows a reaction on the tile of whoever sent it.
  react(identity, name) {
    const tile = this.tiles.get(identity);
    if (tile) tile.react(name);
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

  clear() { for (const [key, tile] of [...this.tiles]) this.remove(key, tile); }
}

// quality is what the node says of a person; without its word, our own measurements: of
// our connection, or of how their picture comes to us. A shared screen stands still
// without anything being wrong.
function quality({ person, sid, screen, mine }, stats) {
  if (mine) return worst(person.quality, stats.mine.quality);
  if (person.quality) return person.quality;
  const got = stats.pictures.get(sid);
  return got ? judge(screen ? { loss: got.loss } : { loss: got.loss, freeze: got.freeze }) : "";
}
