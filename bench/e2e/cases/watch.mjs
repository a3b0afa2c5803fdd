import { assert, until } from "../lib/check.mjs";
import { others } from "../lib/people.mjs";

/** Waits until new frames of the wanted height arrive. */
async function height(viewer, key, want, seconds = 12) {
  const start = (await viewer.received())[key]?.frames ?? 0;
  await until(`${viewer.name} gets ${key} ${want} lines high`, seconds, async () => {
    const row = (await viewer.received())[key];
    return (row?.height === want && row.frames > start) || { want, row };
  });
}

/** A viewer picks a layer of one picture; other viewers and other pictures keep theirs. */
async function quality(ctx) {
  const { ada, blaise, cleo, dora } = ctx.people;
  for (const [viewer, from] of [[cleo, ada], [blaise, cleo], [ada, dora]]) {
    const key = `${from.name}/camera`;
    await viewer.ask(5, "quality", from.name, "camera", "HIGH");
    await height(viewer, key, 360);
    try {
      await viewer.ask(5, "quality", from.name, "camera", "LOW");
      await height(viewer, key, 180);
      if (from === ada) {
        await height(blaise, key, 360);
        await height(viewer, "blaise/camera", 360);
      }
    } finally {
      await viewer.ask(5, "quality", from.name, "camera", "HIGH");
    }
    await height(viewer, key, 360);
  }
}

/** The size of a picture on the page chooses the layer. */
async function adaptive(ctx) {
  const { dora } = ctx.people;
  await height(dora, "ada/camera", 180);
  await dora.ask(5, "resize", "ada", "camera", 640, 360);
  await height(dora, "ada/camera", 360);
  await dora.ask(5, "resize", "ada", "camera", 320, 180);
  await height(dora, "ada/camera", 180);
}

/** By two peer connections and by one, twice: sections are used again, and the other pictures go on. */
async function subscription(ctx) {
  const { ada, blaise, dora } = ctx.people;
  const key = "ada/camera";
  for (const viewer of [blaise, dora, dora, blaise]) {
    const mark = await viewer.mark();
    await viewer.ask(5, "subscribe", "ada", "camera", false);
    await until(`${viewer.name} no longer gets ada's camera`, 8, async () => {
      const gone = await viewer.seen({ type: "unsubscribed", from: "ada", source: "camera" }, mark);
      return gone.length > 0 || (await viewer.received())[key];
    });
    const again = await viewer.mark();
    const t0 = Date.now();
    await viewer.ask(5, "subscribe", "ada", "camera", true);
    await until(`${viewer.name} gets ada's camera again, moving`, 10, async () => {
      const back = await viewer.seen({ type: "subscribed", from: "ada", source: "camera" }, again);
      const row = (await viewer.received())[key];
      return (back.length > 0 && row?.frames > 5) || { back, row, events: await viewer.seen({}, mark) };
    });
    ctx.report.figure(`resubscribe to 5 frames, ${viewer.v0 ? "two peer connections" : "one peer connection"}`, `${Date.now() - t0} ms`);
    const lost = (await viewer.seen({ type: "unsubscribed" }, mark)).filter((e) => e.from !== "ada" || e.source !== "camera");
    assert(lost.length === 0, `${viewer.name} lost other tracks with it: ${JSON.stringify(lost)}`);
  }
  assert((await ada.seen({ type: "disconnected" })).length === 0, "ada was disconnected");
}

/** Frames of a picture that came within the seconds, each second. */
async function pace(viewer, key, seconds) {
  const frames = async () => [(await viewer.received())[key]?.frames ?? 0, Date.now()];
  const [before, t0] = await frames();
  await new Promise((r) => setTimeout(r, seconds * 1000));
  const [after, t1] = await frames();
  return ((after - before) * 1000) / (t1 - t0);
}

/**
 * A viewer asks for fewer frames of a picture, by its temporal layers: of 24 a second every
 * fourth, then all again. Another viewer of the same node has all of them throughout.
 */
async function temporal(ctx, videoCodec) {
  const { cleo, blaise, dora } = ctx.people;
  const key = "cleo/unknown";
  await cleo.ask(15, "paint", [40, 40, 230], 640, 360, { videoCodec, source: "unknown", name: "pace", fps: 24 });
  try {
    for (const p of [blaise, dora]) await until(`${p.name} gets cleo's picture`, 12, async () => (await p.received())[key]?.frames > 10 || (await p.received())[key]);
    const sent = (await cleo.ask(5, "sent")).filter((s) => s.source === "unknown");
    const seen = [];
    const paces = async () => {
      const [few, all] = await Promise.all([pace(blaise, key, 2), pace(dora, key, 2)]);
      seen.push(`${few.toFixed(1)} of ${all.toFixed(1)}`);
      return { few, all };
    };
    await blaise.do(5, (c, who) => c.publication(who, "unknown").setVideoFPS(5), "cleo");
    await until("blaise gets about a quarter of the frames, dora all", 20, async () => {
      const { few, all } = await paces();
      return (few > 1 && few < all * 0.4) || { seen, sent };
    });
    await blaise.do(5, (c, who) => c.publication(who, "unknown").setVideoFPS(30), "cleo");
    await until("blaise gets all frames again", 20, async () => {
      const { few, all } = await paces();
      return (few > 4 && few > all * 0.75) || { seen, sent };
    });
    ctx.report.figure(`${videoCodec}: frames a second with a limit of 5, then without`, seen.join("; "));
  } finally {
    await cleo.ask(8, "unpaint");
  }
}

/** What nobody on any node watches is not even encoded, layer by layer, and comes back when it is watched. */
async function dynacast(ctx) {
  const { ada } = ctx.people;
  const rest = others(ctx, ada);
  const encodings = async () => (await ada.ask(5, "sent")).filter((s) => s.source === "camera" && s.kind === "video");
  const active = (list) => Object.fromEntries(list.map((s) => [s.rid, s.active]));
  const want = async (what, q, h, seconds) => {
    await until(what, seconds, async () => {
      const got = active(await encodings());
      return (got.q === q && got.h === h) || got;
    });
  };
  try {
    for (const p of rest) await p.ask(5, "quality", "ada", "camera", "LOW");
    await want("ada stops the layer that nobody on three nodes watches", true, false, 15);
    for (const p of rest) await p.ask(5, "subscribe", "ada", "camera", false);
    await want("ada stops both layers", false, false, 15);
  } finally {
    for (const p of rest) await p.ask(5, "subscribe", "ada", "camera", true);
    for (const p of rest) await p.ask(5, "quality", "ada", "camera", "HIGH").catch(() => {});
  }
  await want("ada sends both again", true, true, 15);
  for (const p of rest) await until(`${p.name} sees ada again`, 12, async () => (await p.received())["ada/camera"]?.frames > 3 || (await p.received())["ada/camera"]);
}

/**
 * A screen, and what sounds from it: the picture is Chromium's own capture, the sound a
 * tone in the same stream, since this system has no sound of its own to capture.
 */
async function screen(ctx) {
  const { cleo } = ctx.people;
  const hertz = 660;
  const mark = new Map();
  for (const p of others(ctx, cleo)) mark.set(p, await p.mark());
  const sid = await cleo.ask(15, "screen", true, hertz);
  assert(/^TR_/.test(sid ?? ""), `screen share was published as ${sid}`);
  try {
    for (const p of others(ctx, cleo)) {
      await until(`${p.name} sees cleo's screen and hears it`, 12, async () => {
        const all = await p.received();
        const heard = await p.do(5, (c, who) => c.toneOf(who, "screen_share_audio"), "cleo");
        return (all["cleo/screen_share"]?.frames > 2 && all["cleo/screen_share_audio"]?.energy > 0 && Math.abs(heard - hertz) < 30) || { heard, screen: all["cleo/screen_share"], sound: all["cleo/screen_share_audio"] };
      });
    }
  } finally {
    await cleo.ask(8, "screen", false);
  }
  for (const p of others(ctx, cleo)) {
    for (const source of ["screen_share", "screen_share_audio"]) {
      await until(`${p.name} learns that cleo's ${source} is gone`, 8, async () => {
        const gone = await p.seen({ type: "unpublished", from: "cleo", source }, mark.get(p));
        return gone.length > 0 || (await p.seen({ from: "cleo" })).slice(-4);
      });
    }
  }
}

export default [
  { name: "a viewer switches between layers", seconds: 90, run: quality },
  { name: "adaptive stream follows the size of a picture", seconds: 50, run: adaptive },
  { name: "unsubscribe and subscribe again", seconds: 60, run: subscription },
  { name: "a viewer asks for fewer frames of VP8", seconds: 70, run: (ctx) => temporal(ctx, "vp8") },
  { name: "a viewer asks for fewer frames of VP9", seconds: 70, run: (ctx) => temporal(ctx, "vp9") },
  { name: "what nobody on any node watches is not encoded", seconds: 60, run: dynacast },
  { name: "screen share with its sound", seconds: 60, run: screen },
];
