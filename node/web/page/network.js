// The network panel: our connection, and the way of each picture that we get.
import { millis, number, t } from "./i18n.js";
import { Source } from "./messages.js";
import { caption, capital } from "./names.js";
import { links } from "./regions.js";
import { put } from "./tile.js";

const $ = (id) => document.getElementById(id);
const ASK = 5000; // ms between two questions to the node about its links

// route says which way a picture comes: from the node of whoever sends it to ours. What
// lies between is the nodes' business, and the page does not know it.
export function route(from, me) {
  if (!from.region || !me.region) return t("pathUnknown");
  const same = (from.node || from.region) === (me.node || me.region);
  if (same) return t("pathSame", { here: spot(me) });
  return t("path", { from: spot(from), here: spot(me) });
}

function spot({ region, node }) {
  return node && node !== region ? `${capital(region)} (${node})` : capital(region);
}

const known = Number.isFinite;

// rate writes bits per second for people.
export function rate(bits) {
  if (!known(bits)) return "";
  return bits >= 1e6 ? t("mbit", { n: number(bits / 1e6, 1) }) : t("kbit", { n: number(bits / 1000, 0) });
}

const percent = (n) => (known(n) ? t("percent", { n: number(n * 100, 1) }) : "");

export class NetworkPanel {
  constructor(gone) {
    this.cards = new Map(); // by track sid
    this.links = new Map(); // round trips of our node to others, in ms
    this.asked = -Infinity;
    const on = (id, kind, act) => $(id).addEventListener(kind, act, { signal: gone });
    on("network-close", "click", () => this.onClose());
    on("network", "keydown", (event) => { if (event.key === "Escape") this.onClose(); });
  }

  get open() { return !$("network").hidden; }

  // ask refreshes what our node knows of its links; the panel shows it at the next look.
  async ask(me, session) {
    if (performance.now() - this.asked < ASK) return;
    this.asked = performance.now();
    const home = session.regions.find((r) => r.node === me.node);
    this.links = await links(home ? home.url : session.bases[0]);
  }

  draw(session) {
    if (!this.open) return;
    const { roster, stats, socket, paused, views } = session, { mine } = stats, me = roster.people.get(roster.me);
    if (!me) return;
    this.ask(me, session);
    $("network-mine").replaceChildren(...facts([
      [t("myNode"), me.region ? spot(me) : t("unknown")],
      [t("quality"), mine.quality ? t(qualityKeys[mine.quality]) : t("notYet")],
      [t("rtt"), millis(mine.rtt)],
      [t("signalRtt"), socket && socket.rtt ? millis(socket.rtt) : ""],
      [t("transport"), transports[mine.protocol] || ""],
      [t("sending"), [rate(mine.up.bitrate), known(mine.up.loss) && t("lossOf", { n: percent(mine.up.loss) })].filter(Boolean).join(", ")],
      [t("receiving"), [rate(mine.down.bitrate), known(mine.down.loss) && t("lossOf", { n: percent(mine.down.loss) })].filter(Boolean).join(", ")],
    ]));
    const wanted = new Map();
    for (const p of roster.list()) {
      if (p.identity === roster.me) continue;
      for (const info of p.tracks.values()) {
        if ((info.source === Source.CAMERA || info.source === Source.SCREEN_SHARE) && !info.muted) wanted.set(info.sid, { p, info });
      }
    }
    for (const [sid, card] of this.cards) {
      if (wanted.has(sid)) continue;
      card.element.remove();
      this.cards.delete(sid);
    }
    for (const [sid, { p, info }] of wanted) {
      const card = this.cards.get(sid) || this.add(sid);
      put(card.name, caption(p.name, info.source === Source.SCREEN_SHARE, false));
      put(card.path, route(p, me));
      const hidden = (views.get(sid) || "").startsWith("0x");
      card.list.replaceChildren(...facts([
        [t("linkRtt"), p.node === me.node ? "" : millis(this.links.get(p.node))],
        ...picture(stats.pictures.get(sid), paused.has(sid), hidden),
      ]));
    }
    $("network-none").hidden = wanted.size > 0;
  }

  add(sid) {
    const card = { element: document.createElement("li"), name: document.createElement("h4"), path: document.createElement("p"), list: document.createElement("dl") };
    card.path.className = "path";
    card.element.append(card.name, card.path, card.list);
    this.cards.set(sid, card);
    $("network-list").append(card.element);
    return card;
  }

  clear() {
    this.cards.clear();
    $("network-list").replaceChildren();
    $("network").hidden = true;
  }
}

const qualityKeys = { good: "qualityGood", fair: "qualityFair", poor: "qualityPoor" };
const transports = { udp: "UDP", tcp: "TCP", turn: "TURN" };

// picture lists what is measured of a picture.
function picture(got, paused, hidden) {
  if (hidden) return [[t("pictureState"), t("notWatched")]];
  if (paused) return [[t("pictureState"), t("heldBack")]];
  if (!got || !got.width) return [[t("pictureState"), t("notYet")]];
  return [
    [t("resolution"), `${got.width} × ${got.height}`],
    [t("frames"), known(got.fps) ? number(got.fps, 0) : ""],
    [t("bitrate"), rate(got.bitrate)],
    [t("loss"), percent(got.loss)],
    [t("buffer"), millis(got.buffer)],
  ];
}

function facts(rows) {
  return rows.filter(([, value]) => value).map(([name, value]) => {
    const row = document.createElement("div"), term = document.createElement("dt"), detail = document.createElement("dd");
    term.textContent = name;
    detail.textContent = value;
    row.append(term, detail);
    return row;
  });
}
