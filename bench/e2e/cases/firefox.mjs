// Firefox as the distribution delivers it: another WebRTC, another set of codecs, no
// offer in the URL. One keeps two peer connections; a third person is in Chromium.
import { assert, Skip, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";
import { launchFirefox } from "../lib/browser.mjs";
import { others, pairs, Person } from "../lib/people.mjs";

async function join(ctx) {
  const firefox = await launchFirefox();
  ctx.undo.push(() => firefox.close());
  ctx.report.figure("second browser", await firefox.version());
  for (const who of [
    { name: "chloe", url: nodes.paris.ws, region: "paris" },
    { name: "fanny", url: nodes.lyon.ws, region: "lyon", browser: firefox },
    { name: "felix", url: nodes.marseille.ws, region: "marseille", browser: firefox, v0: true },
  ]) {
    ctx.people[who.name] = await Person.enter(ctx, ctx.room, who);
  }
  const { fanny, felix } = ctx.people;
  const facts = (p) => `${p.joined.path} offered ${p.joined.offered} peers ${p.joined.peers}`;
  assert(facts(fanny) === "/rtc/v1 offered true peers 1" || facts(fanny) === "/rtc/v1 offered false peers 1", `fanny: ${facts(fanny)}`);
  assert(facts(felix) === "/rtc offered false peers 2", `felix: ${facts(felix)}`);
}

async function media(ctx) {
  for (const p of Object.values(ctx.people)) {
    const names = others(ctx, p).map((o) => o.name).sort();
    await until(`${p.name} knows ${names}`, 8, async () => JSON.stringify(await p.ask(5, "roster")) === JSON.stringify(names));
  }
  for (const [viewer, from] of pairs(ctx)) await flows(viewer, from);
  for (const p of Object.values(ctx.people)) {
    for (const t of await p.ask(5, "transports")) {
      if (t.srtp) assert(/AES_(128|256)_GCM/.test(t.srtp), `${p.name}'s media is encrypted with ${t.srtp}`);
    }
  }
}

/** Frames and sound that is not silence, counted from now. */
async function flows(viewer, from, seconds = 15) {
  const row = async () => {
    const all = await viewer.received();
    return { video: all[`${from.name}/camera`] ?? {}, audio: all[`${from.name}/microphone`] ?? {} };
  };
  const before = await row();
  await until(`${viewer.name} sees and hears ${from.name}`, seconds, async () => {
    const now = await row();
    const grew = (kind, k, by) => now[kind][k] >= (now[kind][k] < (before[kind][k] ?? 0) ? 0 : (before[kind][k] ?? 0)) + by;
    return (grew("video", "frames", 8) && now.video.elWidth > 0 && grew("audio", "packets", 25) && now.audio.energy > 0) || { before, now };
  });
}

async function words(ctx) {
  for (const from of Object.values(ctx.people)) {
    await from.ask(8, "publishData", `packet of ${from.name}`, { reliable: true, topic: "fx" });
    await from.ask(8, "sendText", `bonjour, ${from.name}`);
    for (const p of others(ctx, from)) {
      await until(`${p.name} gets the packet and the text of ${from.name}, once`, 8, async () => {
        const got = [...(await p.seen({ type: "data", from: from.name, topic: "fx" })), ...(await p.seen({ type: "text", from: from.name }))];
        return got.length === 2 || got;
      });
    }
  }
}

async function mute(ctx) {
  for (const from of [ctx.people.fanny, ctx.people.felix]) {
    for (const [device, source] of [["microphone", "microphone"], ["camera", "camera"]]) {
      for (const [on, type] of [[false, "muted"], [true, "unmuted"]]) {
        const marks = new Map();
        for (const p of others(ctx, from)) marks.set(p, await p.mark());
        await from.ask(12, device, on);
        for (const p of others(ctx, from)) {
          await until(`${p.name} notes that ${from.name}'s ${source} is ${type}`, 8, async () => (await p.seen({ type, from: from.name, source }, marks.get(p))).length > 0);
        }
      }
    }
    for (const p of others(ctx, from)) await flows(p, from);
  }
}

/** Chromium's VP9 for Firefox, and layers for each. */
async function layers(ctx) {
  const { chloe, fanny, felix } = ctx.people;
  for (const [viewer, from] of [[fanny, chloe], [chloe, fanny], [chloe, felix]]) {
    const key = `${from.name}/camera`;
    for (const [quality, ok] of [["LOW", (h) => h > 0 && h <= 270], ["HIGH", (h) => h > 270]]) {
      await viewer.ask(5, "quality", from.name, "camera", quality);
      const start = (await viewer.received())[key]?.frames ?? 0;
      await until(`${viewer.name} gets ${key} in ${quality}`, 12, async () => {
        const row = (await viewer.received())[key];
        return (ok(row?.height) && row.frames > start + 2) || { row, sent: await from.ask(5, "sent") };
      });
    }
  }
  await chloe.ask(8, "camera", false);
  await chloe.ask(15, "paint", [220, 30, 30], 640, 360, { videoCodec: "vp9", name: "vp9", source: "screen_share" });
  for (const p of [fanny, felix]) {
    await until(`${p.name} sees chloe's VP9`, 15, async () => {
      const row = (await p.received())["chloe/screen_share"];
      const got = await p.ask(5, "colour", "chloe", "screen_share");
      return (got?.every((v, i) => Math.abs(v - [220, 30, 30][i]) < 70) && row.codec === "video/VP9") || { got, row };
    });
  }
  await chloe.ask(8, "unpaint");
  await chloe.ask(8, "camera", true);
}

const red = [220, 30, 30];
const near = (got) => got?.every((v, i) => Math.abs(v - red[i]) < 70);

/** Waits until someone sees the picture of another by one of the codecs. */
async function sees(viewer, from, codecs) {
  await until(`${viewer.name} sees ${from.name} by ${codecs.join(" or ")}`, 20, async () => {
    const row = (await viewer.received())[`${from.name}/camera`];
    const got = await viewer.ask(5, "colour", from.name);
    return (near(got) && codecs.includes(row?.codec)) || { got, row, sent: await from.ask(5, "sent") };
  });
}

/**
 * Chromium's AV1 has VP8 behind it. Firefox by one peer connection cannot tell AV1's layers
 * apart and gets the other; by two it gets either.
 */
async function backup(ctx) {
  const { chloe, fanny, felix } = ctx.people;
  await chloe.ask(8, "camera", false);
  await chloe.do(8, (c) => c.room.localParticipant.unpublishTrack(c.room.localParticipant.getTrackPublication("camera").track).then(() => {}));
  await chloe.ask(15, "paint", red, 640, 360, { videoCodec: "av1", backupCodecPolicy: 1 });
  try {
    await sees(fanny, chloe, ["video/VP8"]);
    await sees(felix, chloe, ["video/AV1", "video/VP8"]);
    ctx.report.figure("AV1 with a backup, at Firefox with two peer connections", (await felix.received())["chloe/camera"].codec);
    await until("chloe sends both", 10, async () => {
      const sent = (await chloe.ask(5, "sent")).filter((s) => s.kind === "video" && s.framesSent > 0).map((s) => s.codec);
      return (sent.includes("video/AV1") && sent.includes("video/VP8")) || sent;
    });
  } finally {
    await chloe.ask(8, "unpaint");
    await chloe.ask(8, "camera", true);
  }
}

/** Firefox sends a backup codec itself, to someone who knows no other. */
async function ownBackup(ctx) {
  const { fanny, chloe } = ctx.people;
  const able = await fanny.do(5, () => RTCRtpSender.getCapabilities("video").codecs.map((c) => c.mimeType));
  if (!able.includes("video/H264")) {
    throw new Skip(`this Firefox cannot send H264 (it fetches that codec from the Internet; it has ${[...new Set(able)].join(", ")}), and the SDK lets it publish neither VP9 nor AV1, so there is nothing to back up`);
  }
  const old = await Person.enter(ctx, ctx.room, { name: "old", url: nodes.paris.ws, region: "paris" }, { publish: false, only: "video/VP8" });
  try {
    await fanny.do(8, (c) => c.room.localParticipant.unpublishTrack(c.room.localParticipant.getTrackPublication("camera").track).then(() => {}));
    await fanny.ask(15, "paint", red, 640, 360, { videoCodec: "h264", backupCodec: { codec: "vp8" }, backupCodecPolicy: 1 });
    await sees(chloe, fanny, ["video/H264"]);
    await sees(old, fanny, ["video/VP8"]);
  } finally {
    await fanny.ask(8, "unpaint").catch(() => {});
    await fanny.ask(12, "camera", true);
    await old.ask(8, "leave").catch(() => {});
    await old.close();
  }
}

let rounds = 0; // a message is to be told from those of the run before

async function again(ctx) {
  const { chloe, fanny, felix } = ctx.people;
  const round = ++rounds;
  for (const scenario of ["signal-reconnect", "full-reconnect"]) {
    await Promise.all([fanny, felix].map(async (person) => {
      const mark = await person.mark();
      await person.do(5, (c, s) => {
        c.room.simulateScenario(s);
      }, scenario);
      await until(`${person.name} is connected again after ${scenario}`, 25, async () => {
        const got = await person.seen({}, mark);
        return got.some((e) => e.type === "reconnected") || got.map((e) => e.type);
      });
    }));
    for (const person of [fanny, felix]) {
      await flows(person, chloe, 20);
      await flows(chloe, person, 20);
      const text = `${person.name} after ${scenario}, round ${round}`;
      await person.ask(8, "publishData", text, { reliable: true });
      await until(`chloe gets a message of ${text}`, 8, async () => (await chloe.seen({ type: "data", text })).length === 1);
    }
  }
}

export default [
  { name: "two join from it, one from Chromium", seconds: 70, run: join, vital: true },
  { name: "all see and hear each other", seconds: 60, run: media },
  { name: "data and text both ways", seconds: 40, run: words },
  { name: "mute and unmute", seconds: 60, run: mute },
  { name: "layers, and VP9 from Chromium", seconds: 70, run: layers },
  { name: "resume and reconnection", seconds: 80, run: again },
  { name: "a backup codec from Chromium", seconds: 60, run: backup },
  { name: "resume behind a new camera", seconds: 80, run: again },
  { name: "a backup codec of its own", seconds: 70, run: ownBackup },
];
