// End to end: `maille dev`, four participants in real Chromium with livekit-client
// as npm delivers it, and what the nodes say about the room meanwhile.
//
//   node run.mjs --maille ../../bin/maille --out ../out/e2e [--only TEXT] [--keep]
//
// --only runs the cases whose name holds TEXT (and the vital ones), --keep leaves
// everything running at the end until Ctrl-C.
import { access, mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { launch } from "./lib/browser.mjs";
import { Failure, Report, within } from "./lib/check.mjs";
import { Cluster } from "./lib/cluster.mjs";
import { site } from "./lib/site.mjs";
import doors, { early } from "./cases/doors.mjs";
import gestures from "./cases/gestures.mjs";
import joining from "./cases/join.mjs";
import mesh from "./cases/mesh.mjs";
import pages, { parting } from "./cases/pages.mjs";
import talk from "./cases/talk.mjs";
import watch from "./cases/watch.mjs";

const TOTAL_S = 330;

const { values: opt } = parseArgs({
  options: {
    maille: { type: "string", default: "bin/maille" },
    out: { type: "string", default: "bench/out/e2e" },
    only: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});

const out = path.resolve(opt.out);
const binary = path.resolve(opt.maille);
const report = new Report();
const cluster = new Cluster(binary, path.join(out, "maille.log"));
const ctx = { cluster, report, out, room: "e2e", people: {}, browser: null, site: null };
let stopping = false;

async function main() {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await access(binary).catch(() => {
    throw new Failure(`${binary} does not exist: run make build`);
  });
  const cases = [...joining, ...mesh, ...talk, ...watch, ...early, ...doors, ...pages, ...gestures, ...parting];

  if (!(await report.run("maille dev is ready", 45, async () => report.figure("maille dev ready after", `${await cluster.start(40)} ms`)))) return;
  if (!(await report.run("Chromium starts", 45, async () => {
    ctx.site = await site();
    ctx.browser = await launch();
    report.figure("browser", `Chromium ${ctx.browser.version()}`);
  }))) return;
  for (const c of cases) {
    if (opt.only && !c.vital && !c.name.includes(opt.only)) continue;
    if (cluster.exited) throw new Failure(`maille dev ended in the middle: ${JSON.stringify(cluster.exited)}`);
    const ok = await report.run(c.name, c.seconds, () => c.run(ctx));
    if (!ok) await evidence(c.name);
    if (!ok && c.vital) return;
  }
}

/** What everyone saw, and what the nodes say, at the moment of a failure. */
async function evidence(name) {
  const at = path.join(out, `failed-${name.replace(/[^a-z0-9]+/gi, "-").slice(0, 40)}`);
  const views = [...Object.values(ctx.people), ...(ctx.guests ?? [])].map((p) => p.view);
  for (const v of views) await v.page.screenshot({ path: `${at}-${v.name}.png`, timeout: 5000 }).catch(() => {});
  const facts = {};
  for (const args of [["status", "--json"], ["room", "show", ctx.room, "--json"]]) {
    facts[args[0]] = await cluster.cli(...args).then(JSON.parse).catch(String);
  }
  for (const p of Object.values(ctx.people)) {
    facts[p.name] = { sent: await p.ask(5, "sent").catch(String), received: await p.received().catch(String) };
  }
  await writeFile(`${at}.json`, JSON.stringify(facts, null, 1));
}

async function close() {
  if (stopping) return;
  stopping = true;
  await within("Chromium closes", 10, ctx.browser?.close()).catch(() => ctx.browser?.process?.()?.kill("SIGKILL"));
  ctx.site?.close();
  if (!cluster.child) return;
  await report.run("maille dev ends cleanly on SIGTERM", 15, async () => {
    const how = await cluster.stop();
    if (how.code !== 0) throw new Failure(`maille dev ended with ${JSON.stringify(how)}`);
  });
}

function summary(fatal) {
  const failed = report.failed;
  console.log(`\n${report.results.length - failed.length} ok, ${failed.length} failed, ${Math.round((Date.now() - report.started) / 1000)} s`);
  for (const [k, v] of Object.entries(report.figures)) console.log(`  ${k}: ${v}`);
  if (fatal) console.log(`\n${fatal instanceof Failure ? fatal.message : fatal.stack}`);
  if (fatal || failed.length) {
    console.log(`\n--- last lines of maille dev (all: ${cluster.logFile})\n${cluster.tail()}`);
    for (const p of Object.values(ctx.people)) console.log(`\n--- console of ${p.name}\n${p.view.lines.slice(-15).join("\n")}`);
  }
  console.log(`\nartefacts: ${out}`);
  return writeFile(path.join(out, "report.json"), JSON.stringify({ results: report.results, figures: report.figures }, null, 2));
}

// The last resort: whatever hangs, nothing is left behind.
const watchdog = setTimeout(() => {
  console.log(`FAIL: not done within ${TOTAL_S} s`);
  cluster.kill();
  process.exit(1);
}, TOTAL_S * 1000);
watchdog.unref();
process.on("exit", () => cluster.kill());
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));

let fatal = null;
try {
  await main();
  if (opt.keep) {
    console.log("kept running; Ctrl-C ends it");
    watchdog.close();
    await new Promise(() => setInterval(() => {}, 1 << 30));
  }
} catch (err) {
  fatal = err;
}
await close();
await summary(fatal);
process.exit(fatal || report.failed.length ? 1 : 0);
