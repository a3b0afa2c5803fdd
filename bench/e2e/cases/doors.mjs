import { createHmac } from "node:crypto";
import { assert, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";
import { others, Person } from "../lib/people.mjs";

const part = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");

/** The same claims, signed by someone else. */
function forged(token) {
  const [head, body] = token.split(".");
  const mac = createHmac("sha256", "not the secret").update(`${head}.${body}`).digest("base64url");
  return `${head}.${body}.${mac}`;
}

/** Claims whose time has passed, with the old signature: wrong either way. */
function stale(token) {
  const [head, body, mac] = token.split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  return `${head}.${part({ ...claims, exp: 1 })}.${mac}`;
}

async function refused(ctx) {
  const good = await ctx.cluster.token(ctx.room, "mallory");
  const person = await Person.open(ctx, { name: "mallory", url: nodes.lyon.ws, region: "lyon" });
  try {
    for (const [what, token] of [["forged", forged(good)], ["stale", stale(good)], ["garbage", "no.token.here"]]) {
      const err = await person.ask(20, "refused", person.url, token);
      assert(err, `a ${what} token was let in`);
      assert(err.reason === "NotAllowed" && err.status === 401, `a ${what} token: want NotAllowed with 401, got ${JSON.stringify(err)}`);
      assert(err.message.length > 5, `a ${what} token: the refusal has no text: ${JSON.stringify(err)}`);
      const res = await fetch(`${nodes.lyon.http}/rtc/validate?access_token=${token}`, { signal: AbortSignal.timeout(5000) });
      const text = await res.text();
      assert(res.status === 401 && text.trim() !== "", `a ${what} token: /rtc/validate says ${res.status} "${text}"`);
      assert(!text.includes("not the secret") && !text.includes(token), "the refusal repeats the token");
    }
    const roster = await ctx.people.ada.ask(5, "roster");
    assert(!roster.includes("mallory"), "someone without a valid token is in the roster");
  } finally {
    await person.close();
  }
}

/** The same identity joins again, on another node: the later one stays, everywhere. */
async function twice(ctx) {
  const { ada, blaise, cleo } = ctx.people;
  const second = await Person.open(ctx, { name: "dora", url: nodes.marseille.ws, region: "marseille" });
  await second.join(await ctx.cluster.token(ctx.room, "dora"), { publish: true });
  const first = ctx.people.dora;
  await until("the first dora is told that she joined elsewhere", 10, async () => {
    const got = await first.seen({ type: "disconnected" });
    return got.some((e) => e.reason === "DUPLICATE_IDENTITY") || { events: (await first.ask(5, "seen", {})).slice(-4) };
  });
  await first.close();
  second.name = "dora";
  ctx.people.dora = second;
  for (const p of [ada, blaise, cleo]) {
    await until(`${p.name} sees the dora who joined last`, 12, async () => {
      const row = (await p.received())["dora/camera"];
      const roster = await p.ask(5, "roster");
      return (roster.filter((n) => n === "dora").length === 1 && row?.frames > 5) || { roster, row };
    });
  }
}

async function leave(ctx) {
  const { cleo } = ctx.people;
  const rest = others(ctx, cleo);
  const t0 = Date.now();
  await cleo.ask(8, "leave");
  for (const p of rest) {
    await until(`${p.name} notices that cleo left`, 5, async () => {
      const got = await p.seen({ type: "left", from: "cleo" });
      const roster = await p.ask(5, "roster");
      return (got.length === 1 && !roster.includes("cleo")) || { got, roster };
    });
  }
  ctx.report.figure("leave noticed by all", `${Date.now() - t0} ms`);
  await cleo.close();
  delete ctx.people.cleo;
  await until("room show no longer has cleo", 5, async () => {
    const show = await ctx.cluster.room(ctx.room);
    const at = show.nodes.filter((n) => n.participants?.some((p) => p.identity === "cleo"));
    return at.length === 0 || at;
  });
}

/** A closed tab, without a word, is noticed too. */
async function vanish(ctx) {
  const { blaise } = ctx.people;
  await blaise.close();
  delete ctx.people.blaise;
  for (const p of Object.values(ctx.people)) {
    await until(`${p.name} notices that blaise's tab is gone`, 20, async () => {
      const got = await p.seen({ type: "left", from: "blaise" });
      return got.length === 1 || (await p.ask(5, "roster"));
    });
  }
}

export const early = [{ name: "a wrong token is refused with 401 and a reason", seconds: 60, run: refused }];

export default [
  { name: "the second join of an identity wins on every node", seconds: 50, run: twice },
  { name: "a leave is noticed everywhere", seconds: 25, run: leave },
  { name: "a closed tab is noticed everywhere", seconds: 30, run: vanish },
];
