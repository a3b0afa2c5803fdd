import path from "node:path";
import { open } from "../lib/browser.mjs";
import { assert, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";

// Two people without any client of their own: the page that the nodes serve.
const guests = [
  { name: "Grace", node: nodes.paris, locale: "en-GB", lang: "en", door: () => "/", place: "Paris" },
  { name: "Zoé", node: nodes.lyon, locale: "fr-FR", lang: "fr", door: (room) => `/r/${room}`, place: "Lyon" },
];

const shot = (ctx, guest, what) => guest.view.page.screenshot({ path: path.join(ctx.out, `page-${what}-${guest.lang}.png`) });

/** What a guest sees of everyone: by name, where they are and whether their picture moves. */
const tiles = (guest) =>
  guest.view.page.evaluate(() =>
    [...document.querySelectorAll("#grid > li")].map((li) => ({
      who: li.querySelector(".who").textContent,
      where: li.querySelector(".where").textContent,
      mine: li.classList.contains("mirror"),
      muted: li.classList.contains("muted"),
      blank: li.classList.contains("blank"), // the name's letters, not the picture
      width: li.querySelector("video").videoWidth,
      time: li.querySelector("video").currentTime,
      // The same, for people who do not see it.
      state: li.querySelector(".state").textContent,
    })),
  );

async function enter(ctx) {
  ctx.guests = [];
  for (const who of guests) {
    const view = await open(ctx.browser, `page-${who.lang}`, who.node.http + who.door(ctx.room), ctx.out, { locale: who.locale });
    const guest = { ...who, view, foreign: [] };
    ctx.guests.push(guest);
    const { page } = view;
    page.on("request", (r) => {
      const { hostname, protocol } = new URL(r.url());
      if (hostname !== "127.0.0.1" && protocol !== "data:" && protocol !== "blob:") guest.foreign.push(r.url());
    });
    await page.waitForSelector("#go:visible");
    const lang = await page.evaluate(() => document.documentElement.lang);
    assert(lang === who.lang, `the page speaks "${lang}" to a browser that asks for ${who.locale}`);
    await page.fill("#name", who.name);
    if (who.door(ctx.room) === "/") await page.fill("#room", ctx.room);
    assert((await page.inputValue("#room")) === ctx.room, `the link did not fill in the room: "${await page.inputValue("#room")}"`);
    await page.locator("#region-list label", { hasText: who.place }).click();
    await until(`${who.name}'s page has measured every region`, 8, async () => {
      const rows = await page.locator("#region-list .detail").allTextContents();
      return (rows.length === 3 && rows.every((r) => /\d\s*ms/.test(r))) || rows;
    });
    await shot(ctx, guest, "lobby");
    const t0 = Date.now();
    await page.click("#go");
    await page.waitForSelector("#meeting:not([hidden])", { timeout: 15_000 });
    ctx.report.figure(`built-in page, ${who.lang}: click to meeting`, `${Date.now() - t0} ms`);
  }
}

/** Guests and clients of livekit-client see and hear each other, whichever node they are on. */
async function meet(ctx) {
  const names = [...Object.keys(ctx.people), ...guests.map((g) => g.name)];
  for (const guest of ctx.guests) {
    const before = new Map();
    await until(`${guest.name} sees everyone move: ${names}`, 20, async () => {
      const list = await tiles(guest);
      const still = names.filter((n) => {
        const tile = list.find((t) => t.who.startsWith(n));
        if (!tile?.width || tile.blank) return true;
        if (!before.has(n)) before.set(n, tile.time);
        return tile.time <= before.get(n);
      });
      return (list.length === names.length && still.length === 0) || { still, list };
    });
    const places = Object.fromEntries((await tiles(guest)).map((t) => [t.who.split(" ")[0], t.where]));
    for (const g of guests) assert(places[g.name] === g.place, `${guest.name} reads "${places[g.name]}" for where ${g.name} is`);
    await until(`${guest.name} hears ${names.length - 1} people`, 10, async () => {
      const times = await guest.view.page.evaluate(() => [...document.querySelectorAll("#sounds audio")].map((a) => a.currentTime));
      return (times.length === names.length - 1 && times.every((t) => t > 0)) || times;
    });
  }
  for (const p of Object.values(ctx.people)) {
    await until(`${p.name} gets the cameras of the guests`, 10, async () => {
      const rows = Object.entries(await p.received()).filter(([key, r]) => key.endsWith("/camera") && r.frames > 5);
      return rows.length === names.length - 1 || rows;
    });
  }
  for (const guest of ctx.guests) await shot(ctx, guest, "meeting");
}

async function converse(ctx) {
  const [grace, zoe] = ctx.guests;
  for (const guest of ctx.guests) await guest.view.page.click("#chat-toggle");
  for (const [from, to, text] of [[grace, zoe, "hello from the page"], [zoe, grace, "bonjour à toutes et à tous"]]) {
    await from.view.page.fill("#text", text);
    await from.view.page.press("#text", "Enter");
    await to.view.page.locator("#messages", { hasText: text }).waitFor({ timeout: 8000 });
    for (const p of Object.values(ctx.people)) {
      await until(`${p.name} gets "${text}"`, 8, async () => (await p.seen({ type: "text", text })).length === 1 || (await p.seen({ type: "text" })).slice(-2));
    }
  }
  const { ada } = ctx.people;
  await ada.ask(8, "sendText", "from livekit-client");
  for (const guest of ctx.guests) await guest.view.page.locator("#messages", { hasText: "from livekit-client" }).waitFor({ timeout: 8000 });
  for (const guest of ctx.guests) await shot(ctx, guest, "chat");

  await zoe.view.page.click("#microphone");
  await until("Grace sees that Zoé's microphone is off, and can read it", 8, async () => {
    const tile = (await tiles(grace)).find((t) => t.who.startsWith("Zoé"));
    return (tile?.muted && tile.state !== "") || tile;
  });
  await zoe.view.page.click("#microphone");
  await until("Grace sees that Zoé's microphone is on", 8, async () => {
    const tile = (await tiles(grace)).find((t) => t.who.startsWith("Zoé"));
    return tile?.muted === false || tile;
  });
}

async function part(ctx) {
  const [grace, zoe] = ctx.guests;
  await grace.view.page.click("#leave");
  await grace.view.page.waitForSelector("#lobby:not([hidden])", { timeout: 8000 });
  await until("Grace has left Zoé's page", 8, async () => {
    const names = (await tiles(zoe)).map((t) => t.who);
    return !names.some((n) => n.startsWith("Grace")) || names;
  });
  for (const guest of ctx.guests) {
    assert(guest.foreign.length === 0, `the page loads from elsewhere: ${guest.foreign}`);
    const errors = guest.view.lines.filter((l) => /^\[(error|uncaught)\]/.test(l));
    assert(errors.length === 0, `${guest.name}'s console has errors:\n${errors.join("\n")}`);
    await guest.view.close();
  }
}

export default [
  { name: "the built-in page joins, in English and in French", seconds: 50, run: enter },
  { name: "guests of the page and livekit-client see and hear each other", seconds: 60, run: meet },
  { name: "guests chat with livekit-client, and mute", seconds: 50, run: converse },
];

/** Comes last: what other cases do with the guests lies between. */
export const parting = [{ name: "guests leave", seconds: 25, run: part }];
