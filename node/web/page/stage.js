// Which picture is large, and how large each is. Nothing here touches the page.

export const GAP = 8; // px, as in the style sheet
export const RATIO = 16 / 9;
const SMALL = 200; // px, the least width of a tile; below it the list scrolls
const HOLD = 2000; // ms that a speaker stays large, so that a cough does not take the stage

// largest is the width at which count tiles fill a box without scrolling.
export function largest(count, width, height) {
  let best = 0;
  for (let columns = 1; columns <= count; columns++) {
    const rows = Math.ceil(count / columns);
    const w = Math.min((width - GAP * (columns - 1)) / columns, ((height - GAP * (rows - 1)) / rows) * RATIO);
    best = Math.max(best, w);
  }
  return best;
}

// arrange returns the widths of tiles in a box: all alike, or one large with the others in
// a column beside it or in rows below, whichever leaves it larger.
export function arrange(count, width, height, staged) {
  const small = Math.min(SMALL, (width - GAP) / 2);
  if (!staged) return { tile: Math.floor(Math.max(small, largest(count, width, height))), side: false };
  if (count === 1) return { tile: Math.floor(small), big: Math.floor(width), bigHeight: Math.floor(height), side: false };
  // Two thirds of a tile below show that there is more of the list.
  const beside = width - small - GAP, above = height - (small / RATIO) * 1.66 - GAP;
  const side = Math.min(beside, height * RATIO) >= Math.min(width, above * RATIO);
  return {
    tile: Math.floor(small), side, big: Math.floor(side ? beside : width),
    bigHeight: Math.floor(side ? height : Math.min(above, width / RATIO)),
  };
}

// Spotlight follows who speaks.
export class Spotlight {
  constructor() {
    this.who = ""; // identity
    this.since = 0;
  }

  // follow takes the others in the meeting, and returns the identity to show large: the
  // one who speaks, else the last who did, else the first.
  follow(people, now) {
    const held = people.find((p) => p.identity === this.who);
    const loudest = people.filter((p) => p.speaking).sort((a, b) => b.level - a.level)[0];
    let next = held || people[0];
    if (loudest && !(held && held.speaking) && (!held || now - this.since >= HOLD)) next = loudest;
    const identity = next ? next.identity : "";
    if (identity !== this.who) {
      this.who = identity;
      this.since = now;
    }
    return identity;
  }
}

// large chooses the picture for the stage among {key, screen, mine}: what the person
// pinned, else a shared screen, else in the speaker view who speaks; "" is no stage.
export function large(pictures, { pinned, view, speaker }) {
  const keys = pictures.map((p) => p.key);
  if (keys.includes(pinned)) return pinned;
  const screens = pictures.filter((p) => p.screen);
  const screen = screens.find((p) => !p.mine) || screens[0];
  if (screen) return screen.key;
  if (view !== "speaker") return "";
  return keys.includes(speaker) ? speaker : keys[0] || "";
}
