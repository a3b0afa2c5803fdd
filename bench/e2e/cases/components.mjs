// @livekit/components-react as front ends use it: its tiles, indicators and chat, with
// VP9, adaptive stream and dynacast on, each person in another region.
import path from "node:path";
import { build } from "esbuild";
import { assert, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";
import { open } from "../lib/browser.mjs";
import { Person } from "../lib/people.mjs";
import { file, site } from "../lib/site.mjs";
import { token } from "../lib/token.mjs";

const guests = [
  { name: "rosa", url: nodes.paris.ws },
  { name: "otto", url: nodes.marseille.ws },
];

/** Bundles the page, then two people open it; a third comes with livekit-client alone. */
async function enter(ctx) {
  const bundle = path.join(ctx.out, "meet.js");
  await build({
    entryPoints: [file("page/meet.jsx")], outfile: bundle, bundle: true, format: "iife", jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' }, logLevel: "error",
  });
  const served = await site({ "/": file("page/meet.html"), "/meet.js": bundle, "/components.css": file("node_modules/@livekit/components-styles/dist/general/index.css") });
  ctx.undo.push(async () => served.close());
  for (const g of guests) {
    const hash = new URLSearchParams({ url: g.url, token: token(ctx.room, g.name, { name: g.name }) });
    ctx.guests.push({ ...g, view: await open(ctx.browser, `components-${g.name}`, `${served.url}#${hash}`, ctx.out) });
  }
  ctx.people.lea = await Person.enter(ctx, ctx.room, { name: "lea", url: nodes.lyon.ws, region: "lyon", v0: true });
}

/** What the tiles of a page show. */
const tiles = (guest) =>
  guest.view.page.evaluate(() =>
    [...document.querySelectorAll(".lk-participant-tile")].map((t) => {
      const video = t.querySelector("video");
      return {
        who: t.querySelector("[data-lk-participant-name]")?.dataset.lkParticipantName || t.querySelector(".lk-participant-name")?.textContent || t.innerText.trim(),
        source: t.dataset.lkSource,
        time: video?.currentTime ?? 0,
        width: video?.videoWidth ?? 0,
        mutedIcon: t.querySelector(".lk-track-muted-indicator-microphone[data-lk-muted=true]") !== null,
        quality: t.querySelector("[data-lk-quality]")?.dataset.lkQuality,
        speaking: t.dataset.lkSpeaking,
      };
    }),
  );

const all = ["lea", "otto", "rosa"];

async function shown(ctx) {
  await ctx.people.lea.ask(5, "hum", 440);
  for (const guest of ctx.guests) {
    const before = new Map();
    await until(`${guest.name} has three tiles with moving pictures`, 15, async () => {
      const list = await tiles(guest);
      const still = all.filter((n) => {
        const tile = list.find((t) => t.who.startsWith(n) && t.source === "camera");
        if (!tile?.width) return true;
        if (!before.has(n)) before.set(n, tile.time);
        return tile.time <= before.get(n);
      });
      return (list.length === 3 && still.length === 0) || { still, list, failed: await guest.view.page.evaluate(() => window.failed) };
    });
    await until(`${guest.name}'s tiles show a quality of the connection`, 15, async () => {
      const list = await tiles(guest);
      return list.every((t) => ["excellent", "good"].includes(t.quality)) || list;
    });
    // The others' microphones beep a fifth of the time: clicks, by the rules of speech.
    await until(`${guest.name} sees that lea speaks, and nobody else`, 10, async () => {
      const list = await tiles(guest);
      return list.every((t) => t.speaking === String(t.who.startsWith("lea"))) || list;
    });
  }
  await until("lea gets both pictures by VP9", 10, async () => {
    const rows = await ctx.people.lea.received();
    return guests.every((g) => rows[`${g.name}/camera`]?.frames > 5 && rows[`${g.name}/camera`].codec === "video/VP9") || rows;
  });
}

async function chat(ctx) {
  const [rosa, otto] = ctx.guests;
  for (const [from, text] of [[rosa, "good morning from rosa"], [otto, "guten Morgen von otto"]]) {
    await from.view.page.fill("#text", text);
    await from.view.page.click("#send");
  }
  await ctx.people.lea.do(8, (c) => c.sendText("bonjour de lea"));
  const entries = (g) => g.view.page.locator("#messages > li").allInnerTexts();
  for (const g of ctx.guests) {
    await until(`${g.name} reads each of three messages`, 8, async () => (await entries(g)).length >= 3 || (await entries(g)));
  }
  // Its second form comes right behind each message: what comes last shows whether it was taken for another.
  await ctx.people.lea.do(8, (c) => c.sendText("that is all"));
  for (const g of ctx.guests) {
    await g.view.page.locator("#messages", { hasText: "that is all" }).waitFor({ timeout: 8000 });
    const list = await entries(g);
    assert(list.length === 4, `${g.name} reads ${JSON.stringify(list)}`);
    assert(!list.some((t) => /edited/i.test(t)), `${g.name} reads edited messages: ${JSON.stringify(list)}`);
  }
  for (const g of guests) {
    const got = await ctx.people.lea.seen({ type: "text", from: g.name });
    assert(got.length === 1, `lea got ${JSON.stringify(got)} of ${g.name}`);
  }
}

async function mute(ctx) {
  const [rosa, otto] = ctx.guests;
  for (const [on, what] of [[true, "off"], [false, "on"]]) {
    await otto.view.page.click("#microphone");
    await until(`rosa's tile of otto shows that his microphone is ${what}`, 8, async () => {
      const tile = (await tiles(rosa)).find((t) => t.who.startsWith("otto"));
      return tile?.mutedIcon === on || tile;
    });
    if (on) for (const g of ctx.guests) await g.view.page.screenshot({ path: path.join(ctx.out, `components-${g.name}.png`) });
  }
}

async function screen(ctx) {
  const [rosa, otto] = ctx.guests;
  await rosa.view.page.click("#screen");
  await until("otto has a tile with rosa's screen", 12, async () => {
    const tile = (await tiles(otto)).find((t) => t.source === "screen_share");
    return (tile?.width > 0 && tile.time > 0) || (await tiles(otto));
  });
  await rosa.view.page.click("#screen");
  await until("the tile goes with it", 8, async () => !(await tiles(otto)).some((t) => t.source === "screen_share"));
}

async function clean(ctx) {
  for (const g of ctx.guests) {
    const bad = await g.view.page.evaluate(() => ({ disconnected: window.disconnected, failed: window.failed }));
    assert(bad.disconnected === undefined && bad.failed === undefined, `${g.name}: ${JSON.stringify(bad)}`);
    const errors = g.view.lines.filter((l) => /^\[uncaught\]/.test(l));
    assert(errors.length === 0, `${g.name}'s page throws:\n${errors.join("\n")}`);
  }
}

export default [
  { name: "two open its page, a third joins", seconds: 50, run: enter, vital: true },
  { name: "tiles move, with quality and speakers", seconds: 60, run: shown },
  { name: "chat comes once, not as edited", seconds: 40, run: chat },
  { name: "a mute shows on the tile", seconds: 30, run: mute },
  { name: "a shared screen has its tile", seconds: 30, run: screen },
  { name: "nothing failed", seconds: 10, run: clean },
];
