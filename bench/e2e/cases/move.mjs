import { assert, until } from "../lib/check.mjs";
import { others, Person } from "../lib/people.mjs";
import { nodes } from "../lib/cluster.mjs";

/** How many frames and samples of somebody one received so far. */
async function flow(viewer, from) {
  const now = await viewer.received();
  return { frames: now[`${from}/camera`]?.frames ?? 0, samples: now[`${from}/microphone`]?.samples ?? 0 };
}

/** Whether more came since; a track that was subscribed anew counts from nothing. */
function goesOn(was, now) {
  for (const what of ["frames", "samples"]) was[what] = Math.min(was[what], now[what]);
  return now.frames > was.frames + 10 && now.samples > was.samples + 10000;
}

const where = (ctx, name) =>
  ctx.cluster.cli("room", "show", ctx.room, "--json").then((text) => {
    for (const n of JSON.parse(text).nodes) if (n.participants?.some((p) => p.identity === name)) return n.node;
    return null;
  });

/** A client resumes on another node and keeps its connections, its sids and its people. */
async function migrate(ctx) {
  const mover = await Person.open(ctx, { name: "mona", url: nodes.paris.ws });
  await mover.join(await ctx.cluster.token(ctx.room, "mona"));
  try {
    const crowd = others(ctx, mover).filter((p) => p.name !== "mona");
    for (const p of crowd) await until(`${p.name} sees mona`, 15, async () => (await flow(p, "mona")).frames > 10);
    for (const p of crowd) await until(`mona sees ${p.name}`, 15, async () => (await flow(mover, p.name)).frames > 10);
    const before = await where(ctx, "mona");
    const t0 = Date.now();
    const seen = await mover.view.page.evaluate(() => {
      window.moved = { states: [] };
      window.client.room.on("reconnected", () => (window.moved.done = performance.now()));
      return window.client.room.localParticipant.sid;
    });
    await mover.view.page.evaluate(() => window.client.room.simulateScenario("migration"));
    await until("mona is on another node", 15, async () => {
      const now = await where(ctx, "mona");
      return (now && now !== before) || now;
    });
    const after = await where(ctx, "mona");
    ctx.report.figure("moved", `${before} to ${after} after ${Date.now() - t0} ms`);
    assert((await mover.view.page.evaluate(() => window.client.room.localParticipant.sid)) === seen, "the sid changed");
    for (const p of crowd) {
      const was = await flow(p, "mona");
      await until(`${p.name} sees and hears mona again`, 15, async () => {
        const now = await flow(p, "mona");
        return goesOn(was, now) || { was, now };
      });
      const back = await flow(mover, p.name);
      await until(`mona sees and hears ${p.name} again`, 15, async () => {
        const now = await flow(mover, p.name);
        return goesOn(back, now) || { back, now };
      });
    }
    ctx.report.figure("everyone sees and hears who moved after", `${Date.now() - t0} ms`);
    for (const p of crowd) {
      const left = (await p.ask(5, "seen", { type: "left", from: "mona" }, 0).catch(() => [])) ?? [];
      assert(!left.length, `${p.name} thinks that mona left`);
    }
    await mover.view.page.evaluate(() => window.client.room.localParticipant.publishData(new TextEncoder().encode("after"), { reliable: true, topic: "moved" }));
    for (const p of crowd) {
      await until(`${p.name} gets data of mona`, 10, async () => (await p.seen({ type: "data", from: "mona", text: "after" }, 0)).length > 0);
    }
  } finally {
    await mover.close();
  }
}

/**
 * ICE is restarted on each connection a client has, as after a change of networks: new
 * credentials on both sides, the same session, and media goes on.
 */
async function restart(ctx) {
  const { ada, blaise, cleo } = ctx.people;
  const credentials = (c) => {
    const { publisher, subscriber } = c.room.engine.pcManager;
    const of = (d) => [...new Set([...(d?.sdp ?? "").matchAll(/a=ice-ufrag:(\S+)/g)].map((m) => m[1]))].join();
    const list = [publisher, subscriber].filter(Boolean).map((t) => t.pc ?? t._pc);
    return list.map((pc) => ({ mine: of(pc.localDescription), theirs: of(pc.remoteDescription), state: pc.connectionState }));
  };
  for (const person of [ada, blaise]) {
    const mark = await person.mark();
    const [before, sid] = [await person.do(5, credentials), await person.do(5, (c) => c.room.localParticipant.sid)];
    await person.do(5, (c) => {
      c.room.simulateScenario("signal-reconnect");
    });
    await until(`${person.name} has other ICE credentials on ${before.length} connection${before.length > 1 ? "s" : ""}`, 15, async () => {
      const after = await person.do(5, credentials);
      const anew = after.every((a, i) => a.state === "connected" && a.mine !== before[i].mine && a.theirs !== before[i].theirs);
      return (anew && after.length === before.length && (await person.seen({ type: "reconnected" }, mark)).length > 0) || { before, after };
    });
    assert((await person.do(5, (c) => c.room.localParticipant.sid)) === sid, `${person.name}'s session did not go on`);
    for (const [viewer, from] of [[person, cleo], [cleo, person]]) {
      const was = await flow(viewer, from.name);
      await until(`${viewer.name} sees and hears ${from.name} after it`, 15, async () => {
        const now = await flow(viewer, from.name);
        return goesOn(was, now) || { was, now };
      });
    }
  }
}

export default [
  { name: "a client resumes on another node", seconds: 90, run: migrate },
  { name: "ICE is restarted", seconds: 60, run: restart },
];
