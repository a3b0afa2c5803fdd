// The sounds of the others: one element for each track.
import { TrackType } from "./messages.js";
import { route } from "./devices.js";
import { show } from "./tile.js";

const $ = (id) => document.getElementById(id);

export class Sounds {
  constructor() {
    this.elements = new Map(); // by track sid
    this.silent = false; // the browser refuses to play
  }

  draw(roster, media) {
    const wanted = new Map();
    for (const p of roster.people.values()) {
      if (p.identity === roster.me) continue;
      for (const info of p.tracks.values()) {
        if (info.type === TrackType.AUDIO && media.has(info.sid)) wanted.set(info.sid, media.get(info.sid));
      }
    }
    for (const sid of this.elements.keys()) if (!wanted.has(sid)) this.remove(sid);
    for (const [sid, track] of wanted) {
      if (!this.elements.has(sid)) {
        const audio = document.createElement("audio");
        this.elements.set(sid, audio);
        $("sounds").append(audio);
        route(audio);
      }
      if (show(this.elements.get(sid), track)) this.play(this.elements.get(sid));
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
    await Promise.all([...this.elements.values()].map((a) => this.play(a)));
  }

  // reroute follows the person's choice of a speaker.
  reroute() { for (const audio of this.elements.values()) route(audio); }

  remove(sid) {
    const audio = this.elements.get(sid);
    audio.srcObject = null;
    audio.remove();
    this.elements.delete(sid);
  }

  clear() { for (const sid of [...this.elements.keys()]) this.remove(sid); }
}
