// Every codec the SDK publishes, through one and two peer connections: the picture is
// right, the codec is the one that was asked for, and viewers choose their layer.
import { assert, Skip, until } from "../lib/check.mjs";
import { nodes } from "../lib/cluster.mjs";
import { Person } from "../lib/people.mjs";

const near = (got, want, by = 70) => got?.every((v, i) => Math.abs(v - want[i]) < by);

async function join(ctx) {
  for (const who of [
    { name: "pat", url: nodes.paris.ws, region: "paris" },
    { name: "lea", url: nodes.lyon.ws, region: "lyon", v0: true },
    { name: "max", url: nodes.marseille.ws, region: "marseille" },
  ]) {
    ctx.people[who.name] = await Person.enter(ctx, ctx.room, who, { publish: false });
  }
}

/** A viewer asks for the layers in turn. heights: LOW and HIGH. */
async function layers(viewer, key, heights, seconds) {
  const [identity, source] = key.split("/");
  for (const [quality, height] of [["LOW", heights[0]], ["HIGH", heights[1]]]) {
    await viewer.ask(5, "quality", identity, source, quality);
    const start = (await viewer.received())[key]?.frames ?? 0;
    await until(`${viewer.name} gets ${key} ${height} lines high when it asks for ${quality}`, seconds, async () => {
      const row = (await viewer.received())[key];
      return (row?.height === height && row.frames > start + 3) || row;
    });
  }
}

/**
 * from publishes with a codec; both viewers see the colour, then each switches layers.
 * Chromium makes two spatial layers of 640 by 360, whatever it is asked for.
 */
async function shown(ctx, { from, codec, single = codec, rgb, heights, options = {}, mode, seconds = 15 }) {
  const publisher = ctx.people[from];
  const viewers = Object.values(ctx.people).filter((p) => p !== publisher);
  const able = await publisher.do(5, (_c, mime) => RTCRtpSender.getCapabilities("video").codecs.some((c) => c.mimeType.toLowerCase() === mime), `video/${codec}`);
  if (!able) throw new Skip(`this Chromium cannot send ${codec}`);
  const t0 = Date.now();
  await publisher.ask(15, "paint", rgb, 640, 360, { videoCodec: codec, ...options });
  try {
    for (const p of viewers) {
      const key = `${from}/camera`;
      await until(`${p.name} sees the colour of ${from} by ${codec}`, seconds, async () => {
        const row = (await p.received())[key];
        const got = await p.ask(5, "colour", from);
        const want = p.v0 ? codec : single;
        return (near(got, rgb) && row?.codec?.toLowerCase() === `video/${want}`) || { want: rgb, got, row, sent: await publisher.ask(5, "sent") };
      });
    }
    ctx.report.figure(`${codec} from ${from}: publish to picture at all`, `${Date.now() - t0} ms`);
    const sent = (await publisher.ask(5, "sent")).filter((s) => s.kind === "video");
    if (mode) assert(sent.some((s) => s.scalabilityMode === mode), `${from} sends ${JSON.stringify(sent)}, not ${mode}`);
    // Two encodings of a still picture are more than a sender's first estimate of its path allows.
    if (heights) for (const p of viewers.filter((p) => p.v0 || single === codec)) await layers(p, `${from}/camera`, heights, seconds);
  } finally {
    await publisher.ask(8, "unpaint");
  }
  for (const p of viewers) {
    await until(`${p.name} learns that the ${codec} picture is gone`, 8, async () => (await p.do(5, (c, who) => c.room.remoteParticipants.get(who).trackPublications.size, from)) === 0);
  }
}

/**
 * Sound with redundancy, from both kinds of connection to both. Chromium's statistics
 * name the codec within, so it is what was published that tells.
 */
async function red(ctx) {
  const { pat, lea, max } = ctx.people;
  for (const [from, viewers] of [[pat, [lea, max]], [lea, [pat, max]]]) {
    await from.ask(10, "microphone", true);
    for (const p of viewers) {
      await until(`${p.name} hears ${from.name} by audio/red`, 10, async () => {
        const row = (await p.received())[`${from.name}/microphone`];
        const mime = await p.do(5, (c, who) => c.room.remoteParticipants.get(who).getTrackPublication("microphone")?.mimeType, from.name);
        return (mime === "audio/red" && row?.energy > 0 && row.samples > 24_000) || { mime, row, sent: await from.ask(5, "sent") };
      });
    }
    await from.do(8, (c) => c.room.localParticipant.unpublishTrack(c.room.localParticipant.getTrackPublication("microphone").track).then(() => {}));
  }
}

/** Music keeps its two channels, from both kinds of connection to both, while voices beside it have one. */
async function stereo(ctx) {
  const { pat, lea, max } = ctx.people;
  await pat.ask(10, "microphone", true);
  try {
    for (const [from, viewers] of [[pat, [lea, max]], [lea, [pat, max]]]) {
      await from.ask(10, "music", 440);
      for (const p of viewers) {
        await until(`${p.name} hears the music of ${from.name} on the left only`, 12, async () => {
          const [left, right] = (await p.ask(5, "sidesOf", from.name)) ?? [];
          return (left > 0.05 && right < left / 20) || { left, right, row: await p.received() };
        });
      }
      await from.ask(8, "unmusic");
    }
  } finally {
    await pat.do(8, (c) => c.room.localParticipant.unpublishTrack(c.room.localParticipant.getTrackPublication("microphone").track).then(() => {}));
  }
}

/** VP9 with VP8 behind it: who knows VP8 only is sent the backup, on another node too, and nobody else is. */
async function backup(ctx) {
  const { pat, lea, max } = ctx.people;
  const rgb = [30, 200, 30];
  const vp8 = async () => (await pat.ask(5, "sent")).filter((s) => s.kind === "video" && s.codec === "video/VP8" && s.active && s.framesSent > 0).length;
  const shows = async (p, codec) => {
    await until(`${p.name} sees pat by ${codec}`, 15, async () => {
      const row = (await p.received())["pat/camera"];
      const got = await p.ask(5, "colour", "pat");
      return (near(got, rgb) && row?.codec === codec) || { got, row, sent: await pat.ask(5, "sent") };
    });
  };
  await pat.ask(15, "paint", rgb, 640, 360, { videoCodec: "vp9", backupCodec: { codec: "vp8" }, backupCodecPolicy: 1 });
  try {
    for (const p of [lea, max]) await shows(p, "video/VP9");
    assert((await vp8()) === 0, "pat sends the backup before anyone needs it");
    const old = await Person.enter(ctx, ctx.room, { name: "old", url: nodes.lyon.ws, region: "lyon" }, { publish: false, only: "video/VP8" });
    try {
      await shows(old, "video/VP8");
      for (const p of [lea, max]) await shows(p, "video/VP9");
    } finally {
      await old.ask(8, "leave").catch(() => {});
      await old.close();
    }
    await until("pat sends the backup no more once nobody needs it", 15, async () => (await vp8()) === 0 || (await pat.ask(5, "sent")));
  } finally {
    await pat.ask(8, "unpaint");
  }
}

export default [
  { name: "three join", seconds: 40, run: join, vital: true },
  { name: "VP9 SVC, one peer connection", seconds: 60, run: (ctx) => shown(ctx, { from: "pat", codec: "vp9", rgb: [220, 30, 30], heights: [180, 360], mode: "L2T3_KEY" }) },
  { name: "VP9 SVC, two peer connections", seconds: 60, run: (ctx) => shown(ctx, { from: "lea", codec: "vp9", rgb: [30, 200, 30], heights: [180, 360], mode: "L2T3_KEY" }) },
  // Over one connection browsers offer to receive no dependency descriptor, and cannot tell AV1's layers apart.
  { name: "AV1 SVC, and its backup for one peer connection", seconds: 70, run: (ctx) => shown(ctx, { from: "max", codec: "av1", single: "vp8", rgb: [40, 40, 230], heights: [180, 360], options: { backupCodecPolicy: 1 }, mode: "L2T3_KEY", seconds: 20 }) },
  { name: "H264", seconds: 60, run: (ctx) => shown(ctx, { from: "pat", codec: "h264", rgb: [230, 220, 30], heights: [180, 360] }) },
  { name: "VP8 without simulcast", seconds: 40, run: (ctx) => shown(ctx, { from: "max", codec: "vp8", rgb: [200, 30, 200], options: { simulcast: false } }) },
  { name: "a backup codec, for who needs it while they do", seconds: 60, run: backup },
  { name: "audio with redundancy", seconds: 40, run: red },
  { name: "music in stereo", seconds: 60, run: stereo },
];
