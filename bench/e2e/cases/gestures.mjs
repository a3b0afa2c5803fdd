// What people of the built-in page do besides talking: hands, reactions, pins.
import path from "node:path";
import { assert, until } from "../lib/check.mjs";

const tile = (guest, who) => guest.view.page.locator("#grid > li", { hasText: who });

/** A raised hand is a state: the other sees its number, until it goes down. */
async function hand([grace, zoe]) {
  await grace.view.page.click("#hand");
  await tile(zoe, "Grace").locator(".hand", { hasText: "1" }).waitFor({ timeout: 5000 });
  await until("Zoé can read that Grace's hand is up", 3, async () => {
    const text = await zoe.view.page.textContent("#hands");
    return /Mains levées : 1\. Grace/.test(text) || text;
  });
  await grace.view.page.click("#hand");
  await tile(zoe, "Grace").locator(".hand").waitFor({ state: "hidden", timeout: 5000 });
}

/** A reaction passes over the tile of whoever sent it, and is told to those who do not see it. */
async function react([grace, zoe]) {
  await zoe.view.page.click("#react");
  const seen = tile(grace, "Zoé").locator(".float span").waitFor({ state: "attached", timeout: 5000 });
  await zoe.view.page.click("[data-reaction=clapping-hands]");
  await seen;
  const notice = await grace.view.page.textContent("#notice");
  assert(/^Zoé: applause/.test(notice), `Grace reads "${notice}"`);
}

/** A pinned picture is the large one, whatever the view, and lets go again. */
async function pin(ctx, [grace]) {
  const { page } = grace.view;
  const button = tile(grace, "ada").locator(".pin");
  await button.focus();
  await button.press("Enter");
  await until("ada's picture is large on Grace's page", 3, async () => {
    const big = await page.locator("#grid > li.big .who").allTextContents();
    return (big.length === 1 && big[0] === "ada") || big;
  });
  assert((await button.getAttribute("aria-pressed")) === "true", "the pin does not say that it is pressed");
  await page.screenshot({ path: path.join(ctx.out, "page-pinned-en.png") });
  await button.press("Enter");
  await until("nothing is large any more", 3, async () => (await page.locator("#grid > li.big").count()) === 0);
}

/** The network panel names the way of a picture that crosses a link. */
async function network(ctx, [grace]) {
  const { page } = grace.view;
  await page.click("#more");
  await page.click("#network-toggle");
  await until("Grace reads the way of Zoé's picture", 6, async () => {
    const card = await page.locator("#network-list li", { hasText: "Zoé" }).innerText();
    return (card.includes("Lyon → Paris (me)") && /\d+ × \d+/.test(card)) || card;
  });
  await page.screenshot({ path: path.join(ctx.out, "page-network-en.png") });
  await page.press("#network-close", "Escape");
}

async function gestures(ctx) {
  await hand(ctx.guests);
  await react(ctx.guests);
  await pin(ctx, ctx.guests);
  await network(ctx, ctx.guests);
}

export default [{ name: "guests raise hands, react, pin, and see the way of a picture", seconds: 30, run: gestures }];
