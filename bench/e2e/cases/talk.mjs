import { assert, until } from "../lib/check.mjs";
import { others } from "../lib/people.mjs";

/** Waits until each of the listeners has noted the event. */
async function heard(listeners, want, seconds = 8) {
  for (const p of listeners) {
    await until(`${p.name} notes ${JSON.stringify(want)}`, seconds, async () => {
      const got = await p.seen(want);
      return got.length === 1 || { times: got.length, latest: (await p.seen({ type: want.type })).slice(-3) };
    });
  }
}

/** Reliable and lossy packets, text streams and the older chat reach all others, once. */
async function chat(ctx) {
  for (const from of Object.values(ctx.people)) {
    const listeners = others(ctx, from);
    await from.ask(8, "publishData", `packet of ${from.name}`, { reliable: true, topic: "e2e" });
    await heard(listeners, { type: "data", from: from.name, topic: "e2e", text: `packet of ${from.name}` });
    await from.ask(8, "sendText", `bonjour, ${from.name}`);
    await heard(listeners, { type: "text", from: from.name, text: `bonjour, ${from.name}` });
  }
  const { ada } = ctx.people;
  await ada.ask(8, "publishData", "quick", { reliable: false, topic: "e2e" });
  await heard(others(ctx, ada), { type: "data", from: "ada", topic: "e2e", text: "quick" });
}

async function addressed(ctx) {
  const { ada, blaise, cleo, dora } = ctx.people;
  await ada.ask(8, "publishData", "for cleo", { reliable: true, destinationIdentities: ["cleo"] });
  // A later message to everyone: when it has come, the first one is not still on its way.
  await ada.ask(8, "publishData", "for all", { reliable: true });
  await heard([cleo], { type: "data", from: "ada", text: "for cleo" });
  await heard([blaise, cleo, dora], { type: "data", from: "ada", text: "for all" });
  for (const p of [ada, blaise, dora]) {
    assert((await p.seen({ type: "data", text: "for cleo" })).length === 0, `${p.name} got a message for cleo`);
  }
}

async function ordered(ctx) {
  const { blaise } = ctx.people;
  const count = 50;
  for (let i = 0; i < count; i++) await blaise.ask(8, "publishData", String(i), { reliable: true, topic: "count" });
  for (const p of others(ctx, blaise)) {
    await until(`${p.name} gets ${count} messages in order`, 10, async () => {
      const got = (await p.seen({ type: "data", from: "blaise", topic: "count" })).map((e) => Number(e.text));
      return (got.length === count && got.every((n, i) => n === i)) || got;
    });
  }
}

async function mute(ctx) {
  const { ada, dora } = ctx.people;
  for (const from of [ada, dora]) {
    for (const [device, source] of [["microphone", "microphone"], ["camera", "camera"]]) {
      const listeners = others(ctx, from);
      for (const [on, type] of [[false, "muted"], [true, "unmuted"]]) {
        const marks = new Map();
        for (const p of listeners) marks.set(p, await p.ask(5, "mark"));
        await from.ask(10, device, on);
        for (const p of listeners) {
          await until(`${p.name} notes that ${from.name}'s ${source} is ${type}`, 8, async () => {
            const got = await p.seen({ type, from: from.name, source }, marks.get(p));
            return got.length > 0 || (await p.seen({ from: from.name }, marks.get(p)));
          });
        }
      }
      for (const p of listeners) {
        const key = `${from.name}/${source}`;
        const field = source === "camera" ? "frames" : "energy";
        const before = (await p.received())[key]?.[field] ?? 0;
        await until(`${key} comes back at ${p.name} after the unmute`, 10, async () => {
          const row = (await p.received())[key];
          return row?.[field] > before || row;
        });
      }
    }
  }
}

const signs = {
  ada: { rgb: [220, 30, 30], hertz: 440 },
  blaise: { rgb: [30, 200, 30], hertz: 880 },
  cleo: { rgb: [40, 40, 230], hertz: 1760 },
  dora: { rgb: [230, 220, 30], hertz: 3520 },
};

/**
 * Each in turn shows a colour and hums a tone: what arrives under a name is that
 * person's and nobody else's, and all are told who speaks.
 */
async function signatures(ctx) {
  for (const from of Object.values(ctx.people)) {
    const { rgb, hertz } = signs[from.name];
    const marks = new Map();
    for (const p of others(ctx, from)) marks.set(p, await p.ask(5, "mark"));
    await from.ask(12, "sign", rgb, hertz);
    for (const p of others(ctx, from)) {
      await until(`${p.name} sees the colour and hears the tone of ${from.name}`, 10, async () => {
        const got = await p.ask(5, "signOf", from.name);
        // Colour matrices differ by this much, the four colours by far more; a bin of the spectrum is some 12 Hz wide.
        const ok = got.rgb?.every((v, i) => Math.abs(v - rgb[i]) < 70) && Math.abs(got.hertz - hertz) < 30;
        return ok || { want: { rgb, hertz }, got };
      });
      await until(`${p.name} is told that ${from.name} speaks`, 8, async () => {
        const list = await p.ask(5, "speaking");
        return list.includes(from.name) || list;
      });
    }
    await from.ask(8, "unsign");
    for (const p of others(ctx, from)) {
      await until(`${p.name} is told that ${from.name}'s colour is gone`, 8, async () => {
        const gone = await p.seen({ type: "unpublished", from: from.name, source: "unknown" }, marks.get(p));
        return gone.length === 1 || gone;
      });
    }
  }
}

export default [
  { name: "chat and data reach all others once", seconds: 60, run: chat },
  { name: "an addressed message reaches only its addressee", seconds: 20, run: addressed },
  { name: "messages of one sender keep their order", seconds: 25, run: ordered },
  { name: "mute and unmute arrive, and media comes back", seconds: 60, run: mute },
  { name: "every picture and sound is whose it says, and speakers are named", seconds: 90, run: signatures },
];
