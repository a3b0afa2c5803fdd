import { writeFile } from "node:fs/promises";
import path from "node:path";
import { assert, until } from "../lib/check.mjs";
import { cast } from "../lib/people.mjs";

// protojson writes 64-bit integers as strings and leaves zeroes out.
const num = (v) => Number(v ?? 0);
const layersOf = (s) => String(s ?? "").split(/[\s,]+/).filter(Boolean);

/** Everyone is on the node of the region they asked for, the proxied one too. */
async function homes(ctx) {
  const show = await ctx.cluster.room(ctx.room);
  await writeFile(path.join(ctx.out, "room.json"), JSON.stringify(show, null, 2));
  assert(!show.unreachable?.length, `room show could not reach ${show.unreachable}`);
  for (const who of cast) {
    const at = (show.nodes ?? []).filter((n) => n.participants?.some((p) => p.identity === who.name));
    assert(at.length === 1, `${who.name} is on ${at.length} nodes: ${JSON.stringify(at.map((n) => n.node))}`);
    assert(at[0].region === who.region, `${who.name} is on ${at[0].node} in ${at[0].region}, not in ${who.region}`);
  }
}

/** Out-crossings of every track: {sid, identity, kind, from, to (regions), crossing, track}. */
function crossings(show) {
  const region = Object.fromEntries((show.nodes ?? []).map((n) => [n.node, n.region]));
  return (show.nodes ?? []).flatMap((n) =>
    (n.tracks ?? []).flatMap((track) =>
      (track.crossings ?? [])
        .filter((c) => c.direction === "out")
        .map((crossing) => ({ node: n.node, from: n.region, to: region[crossing.peer], track, crossing })),
    ),
  );
}

const label = ({ track, node, crossing }) => `${track.identity}'s ${track.kind} ${track.sid}, ${node} -> ${crossing.peer}`;

/** Media crossed QUIC links, and each layer went into a region once. */
async function once(ctx) {
  await until("every track crosses into the two other regions by QUIC", 15, async () => {
    const show = await ctx.cluster.room(ctx.room);
    const out = crossings(show);
    for (const who of cast) {
      for (const kind of ["audio", "video"]) {
        for (const to of new Set(cast.map((c) => c.region))) {
          if (to === who.region) continue;
          const here = out.filter((x) => x.track.identity === who.name && x.track.kind === kind && x.to === to);
          const good = here.filter((x) => num(x.crossing.packets) > 0 && x.crossing.transport === "quic");
          if (good.length === 0) return { who: who.name, kind, to, crossings: here, all: out.map(label) };
        }
      }
    }
    return true;
  });
  const show = await ctx.cluster.room(ctx.room);
  await writeFile(path.join(ctx.out, "room.json"), JSON.stringify(show, null, 2));
  const out = crossings(show);
  const entries = new Map();
  for (const x of out) {
    const key = `${x.track.sid} into ${x.to}`;
    entries.set(key, [...(entries.get(key) ?? []), x]);
  }
  for (const [entry, list] of entries) {
    const from = new Set(list.map((x) => x.from));
    const layers = list.filter((x) => x.from !== x.to).flatMap((x) => layersOf(x.crossing.layers));
    assert(new Set(layers).size === layers.length, `${entry}: a layer crosses more than once: ${JSON.stringify(list.map(label))}`);
    assert(from.size === 1, `${entry} comes from ${[...from]}: ${JSON.stringify(list.map(label))}`);
    assert(list.filter((x) => x.from !== x.to).length === 1, `${entry}: carried by ${list.length} links: ${JSON.stringify(list.map(label))}`);
  }
  const origin = (sid) => show.nodes.flatMap((n) => n.tracks ?? []).find((t) => t.sid === sid && !t.upstream);
  for (const x of out) {
    const published = origin(x.track.sid)?.layers?.reduce((sum, l) => sum + num(l.packets), 0) ?? 0;
    const crossed = num(x.crossing.packets);
    // Room show asks the nodes one after the other; half a second of packets may lie between two answers.
    assert(crossed <= published * 1.05 + 200, `${label(x)}: ${crossed} packets crossed, but only ${published} were published`);
  }
  ctx.report.figure("tracks crossing between regions", String(out.length));
}

/** What nobody behind a link watches does not cross it. */
async function unwatched(ctx) {
  const { blaise, dora } = ctx.people;
  const crossed = async () => {
    const show = await ctx.cluster.room(ctx.room);
    const x = crossings(show).filter((c) => c.track.identity === "ada" && c.track.source?.toLowerCase() === "camera" && c.to === "lyon");
    return x.reduce((sum, c) => sum + num(c.crossing.packets), 0);
  };
  assert((await crossed()) > 0, "ada's camera does not cross into lyon, or room show does not name its source CAMERA");
  let last = -1;
  try {
    for (const p of [blaise, dora]) await p.ask(5, "subscribe", "ada", "camera", false);
    await until("ada's camera stops crossing into lyon, where nobody watches it", 12, async () => {
      const before = await crossed();
      await new Promise((r) => setTimeout(r, 1000));
      last = await crossed();
      return last === before || { before, aSecondLater: last };
    });
  } finally {
    for (const p of [blaise, dora]) await p.ask(5, "subscribe", "ada", "camera", true);
  }
  for (const p of [blaise, dora]) {
    await until(`${p.name} sees ada again`, 10, async () => {
      const row = (await p.received())["ada/camera"];
      return row?.frames > 3 || { row, events: (await p.seen({})).slice(-12) };
    });
  }
  await until("ada's camera crosses into lyon again", 10, async () => {
    const now = await crossed();
    // The crossing may have been counted anew since it stopped.
    return (now > 0 && now !== last) || now;
  });
}

export default [
  { name: "each is on the node of their region, the proxied one too", seconds: 15, run: homes },
  { name: "media crosses QUIC links, each layer once into a region", seconds: 30, run: once },
  { name: "what nobody watches does not cross", seconds: 40, run: unwatched },
];
