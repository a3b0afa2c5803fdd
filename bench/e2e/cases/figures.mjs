// Figures worth watching from one version to the next: how soon a newcomer sees a
// picture, and what a participant costs who does nothing.
import { spawn } from "node:child_process";
import path from "node:path";
import { access } from "node:fs/promises";
import { assert, Failure, until, within } from "../lib/check.mjs";
import { Cluster, nodes } from "../lib/cluster.mjs";
import { Person } from "../lib/people.mjs";
import { token } from "../lib/token.mjs";

const SAMPLES = 10;
// Between two newcomers, so that none is served by the keyframe that came for the one before.
const PAUSE_MS = 600;
const IDLE = 50;

const rank = (sorted, p) => sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)];

async function firstFrames(ctx) {
  ctx.people.mona = await Person.enter(ctx, ctx.room, { name: "mona", url: nodes.paris.ws, region: "paris" });
  const viewer = await Person.open(ctx, { name: "newcomer", url: nodes.paris.ws, region: "paris" });
  ctx.people.newcomer = viewer;
  for (const [what, url, v0] of [
    ["on one node", nodes.paris.ws, false],
    ["on one node, two peer connections", nodes.paris.ws, true],
    ["across regions", nodes.marseille.ws, false],
    ["across regions, two peer connections", nodes.marseille.ws, true],
  ]) {
    const took = [];
    for (let i = 0; i < SAMPLES; i++) {
      const name = `newcomer-${v0 ? "two" : "one"}-${new URL(url).port}-${i}`;
      await new Promise((r) => setTimeout(r, PAUSE_MS));
      took.push(await viewer.ask(20, "sample", url, token(ctx.room, name), v0, "mona"));
    }
    took.sort((a, b) => a - b);
    const [p50, p95] = [rank(took, 0.5), rank(took, 0.95)].map(Math.round);
    ctx.report.figure(`join to first decoded frame, ${what}`, `p50 ${p50} ms, p95 ${p95} ms (${SAMPLES})`, { p50, p95, samples: took.map(Math.round) });
  }
}

/** go_goroutines and the like, from a node's /metrics. */
async function gauges(names) {
  const text = await (await fetch("http://127.0.0.1:6789/metrics", { signal: AbortSignal.timeout(5000) })).text();
  return Object.fromEntries(names.map((n) => [n, Number(text.match(new RegExp(`^${n} (.+)$`, "m"))?.[1])]));
}

/** The least of a few readings: what is alive for long, without what is just passing. */
async function least(count = 10) {
  const names = ["go_goroutines", "go_memstats_heap_alloc_bytes", "go_memstats_stack_inuse_bytes", "process_resident_memory_bytes"];
  let low = {};
  for (let i = 0; i < count; i++) {
    const now = await gauges(names);
    for (const n of names) low[n] = Math.min(low[n] ?? Infinity, now[n]);
    await new Promise((r) => setTimeout(r, 200));
  }
  return { goroutines: low[names[0]], heap: low[names[1]], stacks: low[names[2]], resident: low[names[3]] };
}

async function idle(ctx) {
  const program = path.join(path.dirname(ctx.binary), "idle");
  await access(program).catch(() => {
    throw new Failure(`${program} does not exist: run make e2e, or go build -o bin/idle ./bench/idle`);
  });
  // A collector that runs often leaves little but what is alive.
  const cluster = new Cluster(ctx.binary, path.join(ctx.out, "maille-idle.log"), { regions: ["paris"], env: { GOGC: "10" } });
  ctx.undo.push(() => cluster.stop());
  await cluster.start(40);
  const crowd = async (count, meanwhile) => {
    const child = spawn(program, ["-url", nodes.paris.ws, "-room", "idle", "-count", String(count)], { stdio: ["pipe", "pipe", "inherit"] });
    let said = "";
    child.stdout.on("data", (d) => (said += d));
    const ended = new Promise((resolve) => child.once("exit", resolve));
    try {
      await until(`${count} idle participants join`, 60, async () => {
        if (child.exitCode !== null) throw new Failure(`idle ended with ${child.exitCode}`);
        return said.includes("joined");
      });
      await meanwhile?.();
    } finally {
      child.stdin.end();
      await within("the idle participants leave", 30, ended).catch(() => child.kill("SIGKILL"));
    }
    assert(said.includes("left"), `idle said "${said.trim()}"`);
  };
  // The first participant makes what a node and the room keep.
  let before;
  await crowd(1, async () => (before = await least()));
  let during;
  await crowd(IDLE + 1, async () => (during = await least()));
  const each = (k) => (during[k] - before[k]) / IDLE;
  const kB = (n) => `${Math.round(n / 1000)} kB`;
  const cost = { goroutines: each("goroutines"), heap: each("heap"), stacks: each("stacks"), resident: each("resident") };
  ctx.report.figure(`an idle participant (of ${IDLE})`, `${cost.goroutines.toFixed(1)} goroutines, ${kB(cost.heap)} heap, ${kB(cost.stacks)} stacks, ${kB(cost.resident)} resident`, cost);
  let extra;
  await until("every goroutine of those who left has ended", 40, async () => {
    const now = (await gauges(["go_goroutines"])).go_goroutines;
    // The one who waited in the room before held some too: without anyone there must be fewer.
    extra = now - before.goroutines;
    return extra <= 0 || { now, before: before.goroutines };
  });
  ctx.report.figure("goroutines left behind when all have gone", `${Math.max(0, extra)}`, { extra });
}

export const joins = [{ name: "how soon a newcomer sees a picture", seconds: 150, run: firstFrames }];
export default [{ name: "what an idle participant costs, and that nothing stays", seconds: 150, run: idle }];
