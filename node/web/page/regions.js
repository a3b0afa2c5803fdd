// The way to each region, measured: round trips of small requests, the median counts.

const TRIES = 5;
const MOST = 256; // links read from one answer
const TIMEOUT = 4000; // ms; a node that takes longer is not the nearest

export async function list() {
  try {
    const response = await fetch("/regions.json", { cache: "no-store" });
    return response.ok ? await response.json() : [];
  } catch {
    return [];
  }
}

// links asks a node for its ways to the others: round trips in ms, by node.
export async function links(url) {
  try {
    const response = await fetch(new URL("/links.json", url), { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(TIMEOUT) });
    return new Map((response.ok ? await response.json() : []).slice(0, MOST).map(({ node, rtt }) => [String(node), Number(rtt)]));
  } catch {
    return new Map();
  }
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b), mid = sorted.length >> 1;
  return sorted.length % 2 ? sorted[mid] : (sorted[mid - 1] + sorted[mid]) / 2;
}

// measure returns the round trip to a node in ms, or NaN when it does not answer. The
// first request opens the connection and does not count.
export async function measure(url) {
  const times = [];
  try {
    for (let i = 0; i <= TRIES; i++) {
      const began = performance.now();
      await fetch(new URL("/", url), {
        method: "HEAD", cache: "no-store", mode: "no-cors", credentials: "omit", signal: AbortSignal.timeout(TIMEOUT),
      });
      if (i > 0) times.push(performance.now() - began);
    }
  } catch {
    if (!times.length) return NaN;
  }
  return median(times);
}

// order puts the chosen URL first, then the page's own node, then the others, nearest first.
export function order(chosen, own, regions) {
  const rest = regions.filter((r) => !Number.isNaN(r.rtt)).sort((a, b) => a.rtt - b.rtt).map((r) => r.url);
  return [...new Set([chosen || own, own, ...rest].map((u) => new URL(u).origin))];
}
