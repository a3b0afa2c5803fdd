// Acts: cases that share a room and its people. What an act opens is closed when it
// ends, whatever happened in it.
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { within } from "./check.mjs";

/** Whether --only asks for this case; the vital ones of an act come along. */
const wanted = (only, act, c) => !only || `${act.name}: ${c.name}`.includes(only);

export const asked = (only, act) => act.cases.some((c) => wanted(only, act, c));

/**
 * Runs the cases of an act in order. A vital case that fails ends the act; alive says
 * whether it makes sense to go on.
 */
export async function play(ctx, act, only, alive) {
  if (!asked(only, act)) return;
  Object.assign(ctx, { room: act.room ?? act.name, people: {}, guests: [], undo: [] });
  console.log(`-- ${act.name}`);
  try {
    for (const c of act.cases) {
      if (!c.vital && !wanted(only, act, c)) continue;
      alive();
      const ok = await ctx.report.run(`${act.name}: ${c.name}`, c.seconds, () => c.run(ctx), c.wanting);
      if (!ok) await evidence(ctx, `${act.name} ${c.name}`);
      if (!ok && c.vital) return;
    }
  } finally {
    if (!ctx.keep) await strike(ctx);
  }
}

/** Closes what an act left open: people, guests, then whatever it noted in ctx.undo. */
async function strike(ctx) {
  const views = [...Object.values(ctx.people), ...ctx.guests.map((g) => g.view)];
  await Promise.allSettled(views.map((v) => within("a page closes", 8, v.close())));
  for (const undo of ctx.undo.reverse()) await within("an act is cleared away", 15, undo()).catch((err) => console.log(`     ${err.message}`));
}

/** What everyone saw, and what the nodes say, at the moment of a failure. */
async function evidence(ctx, name) {
  const at = path.join(ctx.out, `failed-${name.replace(/[^a-z0-9]+/gi, "-").slice(0, 50)}`);
  const views = [...Object.values(ctx.people), ...ctx.guests].map((p) => p.view);
  const facts = {};
  const look = async () => {
    for (const v of views) await within("a screenshot", 5, v.page.screenshot({ path: `${at}-${v.name}.png` })).catch(() => {});
    for (const args of [["status", "--json"], ["room", "show", ctx.room, "--json"]]) {
      facts[args[0]] = await ctx.cluster.cli(...args).then(JSON.parse).catch(String);
    }
    for (const p of Object.values(ctx.people)) {
      facts[p.name] = {
        sent: await p.ask(5, "sent").catch(String),
        received: await p.received().catch(String),
        events: (await p.seen({}).catch(() => [])).slice(-60),
        console: p.view.lines.slice(-40),
      };
    }
  };
  await within("evidence", 40, look()).catch(() => {});
  await writeFile(`${at}.json`, JSON.stringify(facts, null, 1));
}
