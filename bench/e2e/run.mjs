// End to end: `maille dev` with three nodes, participants in real Chromium and Firefox
// with livekit-client and components-react as npm delivers them, and what the nodes say
// about the rooms meanwhile.
//
//   node run.mjs --maille ../../bin/maille --out ../out/e2e [--only TEXT] [--keep]
//
// --only runs the cases and acts whose name holds TEXT (and what they need), --keep
// leaves everything running at the end until Ctrl-C.
import { access, mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { asked, play } from "./lib/act.mjs";
import { launch } from "./lib/browser.mjs";
import { Failure, Report, within } from "./lib/check.mjs";
import { Cluster } from "./lib/cluster.mjs";
import { site } from "./lib/site.mjs";
import again from "./cases/again.mjs";
import codecs from "./cases/codecs.mjs";
import components from "./cases/components.mjs";
import doors, { early } from "./cases/doors.mjs";
import idle, { joins } from "./cases/figures.mjs";
import firefox from "./cases/firefox.mjs";
import gestures from "./cases/gestures.mjs";
import joining from "./cases/join.mjs";
import mesh from "./cases/mesh.mjs";
import move from "./cases/move.mjs";
import narrow from "./cases/narrow.mjs";
import pages, { parting } from "./cases/pages.mjs";
import rights from "./cases/rights.mjs";
import secret from "./cases/secret.mjs";
import talk from "./cases/talk.mjs";
import watch from "./cases/watch.mjs";
import words from "./cases/words.mjs";

const TOTAL_S = 1400;

const acts = [
  { name: "meeting", cases: [...joining, ...mesh, ...talk, ...words, ...watch, ...move, ...rights, ...early, ...doors, ...pages, ...gestures, ...parting] },
  { name: "again", cases: again },
  { name: "codecs", cases: codecs },
  { name: "secret", cases: secret },
  { name: "components", cases: components },
  { name: "firefox", cases: firefox },
  { name: "newcomers", cases: joins },
];

/** These start nodes of their own, so the three have ended before. */
const after = [
  { name: "idle", cases: idle },
  { name: "narrow", cases: narrow },
];

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
const ctx = { binary, cluster, report, out, keep: opt.keep, people: {}, guests: [], browser: null, site: null };
let stopping = false;

async function main() {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  await access(binary).catch(() => {
    throw new Failure(`${binary} does not exist: run make build`);
  });
  const firstActs = acts.some((a) => asked(opt.only, a));
  if (!(await report.run("Chromium starts", 45, async () => {
    ctx.site = await site();
    ctx.browser = await launch();
    report.figure("browser", `Chromium ${ctx.browser.version()}`);
  }))) return;
  if (firstActs) await mesh3();
  for (const act of after) await play(ctx, act, opt.only, () => {});
}

async function mesh3() {
  if (!(await report.run("maille dev is ready", 45, async () => report.figure("maille dev ready after", `${await cluster.start(40)} ms`)))) return;
  for (const act of acts) {
    await play(ctx, act, opt.only, () => {
      if (cluster.exited) throw new Failure(`maille dev ended in the middle: ${JSON.stringify(cluster.exited)}`);
    });
  }
  if (!opt.keep) await ended();
}

async function ended() {
  await report.run("maille dev ends cleanly on SIGTERM", 15, async () => {
    const how = await cluster.stop();
    if (how.code !== 0) throw new Failure(`maille dev ended with ${JSON.stringify(how)}`);
  });
}

async function close() {
  if (stopping) return;
  stopping = true;
  await within("Chromium closes", 10, ctx.browser?.close()).catch(() => ctx.browser?.process?.()?.kill("SIGKILL"));
  ctx.site?.close();
  if (cluster.child && !cluster.exited) await ended();
}

function summary(fatal) {
  const { failed, skipped, wanting } = report;
  const seconds = Math.round((Date.now() - report.started) / 1000);
  console.log(`\n${report.results.length - failed.length - skipped.length - wanting.length} ok, ${failed.length} failed, ${wanting.length} wanting, ${skipped.length} skipped, ${seconds} s`);
  for (const r of wanting) console.log(`  wanting: ${r.name}: ${r.wanting}`);
  for (const r of skipped) console.log(`  skipped: ${r.name}: ${r.skipped}`);
  for (const r of failed) console.log(`  FAILED: ${r.name}`);
  for (const [k, v] of Object.entries(report.figures)) console.log(`  ${k}: ${v}`);
  if (fatal) console.log(`\n${fatal instanceof Failure ? fatal.message : fatal.stack}`);
  if (fatal || failed.length) console.log(`\n--- last lines of maille dev (all: ${cluster.logFile})\n${cluster.tail(30)}`);
  console.log(`\nartefacts: ${out}`);
  return writeFile(path.join(out, "report.json"), JSON.stringify({ results: report.results, figures: report.figures, numbers: report.numbers }, null, 2));
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
