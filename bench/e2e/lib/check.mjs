// Waiting, asserting and reporting. Nothing here waits without a bound, and a
// bound that is missed says what was last seen.

const POLL_MS = 150;

// How many times longer than a quiet machine needs is waited before a case fails: what is
// waited for must come, and how soon is a figure.
const PATIENCE = 3;

export class Failure extends Error {}

/** Why a case cannot run on this machine. It is told, and counted apart. */
export class Skip extends Error {}

/** A failure that waiting cannot mend. */
export class Hopeless extends Failure {}

export function assert(ok, message) {
  if (!ok) throw new Failure(message);
}

const show = (v) => (typeof v === "string" ? v : JSON.stringify(v, null, 1));

/** Calls probe until it returns true. Anything else it returns is what was last seen. */
export async function until(what, seconds, probe) {
  seconds *= PATIENCE;
  const end = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      last = await probe();
    } catch (err) {
      if (err instanceof Hopeless || err instanceof Skip || err instanceof TypeError || err instanceof ReferenceError) throw err;
      last = String(err);
    }
    if (last === true) return;
    if (Date.now() > end) throw new Failure(`not within ${seconds} s: ${what}\nlast seen: ${show(last)}`);
    await new Promise((r) => setTimeout(r, POLL_MS));
  }
}

/** Rejects when the promise has not settled in time. */
export async function within(what, seconds, promise) {
  seconds *= PATIENCE;
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Failure(`not within ${seconds} s: ${what}`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Report runs cases in order, each bounded, and goes on after a failure. */
export class Report {
  constructor() {
    this.results = [];
    this.figures = {};
    this.numbers = {};
    this.started = Date.now();
  }

  /** wanting says why a case may still fail: then its failure is told, and counted apart. */
  async run(name, seconds, body, wanting = null) {
    const t0 = Date.now();
    let error = null;
    let skipped = null;
    try {
      await within(`the case as a whole`, seconds, body());
    } catch (err) {
      if (err instanceof Skip) skipped = err.message;
      else error = err instanceof Failure ? err.message : err.stack || String(err);
    }
    const ms = Date.now() - t0;
    this.results.push({ name, ms, error, skipped, wanting });
    console.log(`${error && wanting ? "WANT" : error ? "FAIL" : skipped ? "skip" : "ok  "} ${name}${skipped ? `: ${skipped}` : ""}  (${(ms / 1000).toFixed(1)} s)`);
    if (error) console.log(error.replace(/^/gm, "     "));
    return !error && !skipped;
  }

  /** Something worth reading, printed at the end and kept in report.json; numbers are kept there as numbers. */
  figure(name, text, numbers) {
    this.figures[name] = text;
    if (numbers) this.numbers[name] = numbers;
  }

  /** A figure that is to be no more than a limit. Missing it is told and fails nothing: machines differ. */
  goal(name, value, limit, unit) {
    const reached = value <= limit;
    this.figure(name, `${+value.toFixed(1)} ${unit}, ${reached ? "reached" : "NOT reached"}: at most ${limit} ${unit}`, { value, limit, reached });
  }

  get failed() {
    return this.results.filter((r) => r.error && !r.wanting);
  }

  get wanting() {
    return this.results.filter((r) => r.error && r.wanting);
  }

  get skipped() {
    return this.results.filter((r) => r.skipped);
  }
}
