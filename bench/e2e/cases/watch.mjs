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

async function screen(ctx) {
  const { cleo } = ctx.people;
  const sid = await cleo.ask(12, "screen", true);
  assert(/^TR_/.test(sid ?? ""), `screen share was published as ${sid}`);
  for (const p of others(ctx, cleo)) {
    await until(`${p.name} sees cleo's screen`, 12, async () => {
      const row = (await p.received())["cleo/screen_share"];
      return row?.frames > 2 || row;
    });
  }
  await cleo.ask(8, "screen", false);
  for (const p of others(ctx, cleo)) {
    await until(`${p.name} learns that cleo's screen is gone`, 8, async () => {
      const gone = await p.seen({ type: "unpublished", from: "cleo", source: "screen_share" });
      return gone.length > 0 || (await p.seen({ from: "cleo" })).slice(-4);
    });
  }
}

export default [
  { name: "a viewer switches between layers", seconds: 90, run: quality },
  { name: "adaptive stream follows the size of a picture", seconds: 50, run: adaptive },
  { name: "unsubscribe and subscribe again", seconds: 60, run: subscription },
  { name: "screen share", seconds: 50, run: screen },
];
