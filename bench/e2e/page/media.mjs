// What flows through a participant's peer connections, in numbers, and media that is
// easy to recognise on the other side.

/** The strongest frequency of a track over a moment, in hertz; 0 for silence. */
export async function loudest(track) {
  const audio = new AudioContext();
  try {
    const spectrum = new AnalyserNode(audio, { fftSize: 4096 });
    audio.createMediaStreamSource(new MediaStream([track])).connect(spectrum);
    await new Promise((r) => setTimeout(r, 250));
    const bins = new Float32Array(spectrum.frequencyBinCount);
    spectrum.getFloatFrequencyData(bins);
    const top = bins.reduce((best, v, i) => (v > bins[best] ? i : best), 0);
    return bins[top] > -60 ? (top * audio.sampleRate) / spectrum.fftSize : 0;
  } finally {
    await audio.close();
  }
}

/** The colour in the middle of a video element; null before its first frame. */
export function colourOf(video) {
  if (!video?.videoWidth) return null;
  const canvas = Object.assign(document.createElement("canvas"), { width: 16, height: 9 });
  const draw = canvas.getContext("2d");
  draw.drawImage(video, 0, 0, 16, 9);
  return [...draw.getImageData(10, 5, 1, 1).data.slice(0, 3)];
}

/** A picture of one colour that still changes, so that every frame is captured; without a colour, noise. */
export function painted(rgb, width, height, fps = 15) {
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const draw = canvas.getContext("2d");
  const coarse = Object.assign(document.createElement("canvas"), { width: width / 8, height: height / 8 });
  let odd = 0;
  const noise = () => {
    const image = new ImageData(coarse.width, coarse.height);
    for (let i = 0; i < image.data.length; i += 65_536) crypto.getRandomValues(image.data.subarray(i, i + 65_536));
    for (let i = 3; i < image.data.length; i += 4) image.data[i] = 255;
    coarse.getContext("2d").putImageData(image, 0, 0);
    draw.drawImage(coarse, 0, 0, width, height);
  };
  const plain = () => {
    draw.fillStyle = `rgb(${rgb})`;
    draw.fillRect(0, 0, width, height);
    draw.fillStyle = (odd = 1 - odd) ? "#000" : "#fff";
    draw.fillRect(0, 0, width / 20, height / 20);
  };
  const timer = setInterval(rgb ? plain : noise, 1000 / fps);
  const track = canvas.captureStream(fps).getVideoTracks()[0];
  return { track, end: () => clearInterval(timer) };
}

/** A tone that swells and fades as a voice does: a level that never varies is nobody speaking. */
export function hummed(hertz) {
  const audio = new AudioContext();
  const tone = new OscillatorNode(audio, { frequency: hertz });
  const out = new MediaStreamAudioDestinationNode(audio);
  const loudness = new GainNode(audio, { gain: 0.35 });
  const breath = new OscillatorNode(audio, { frequency: 3 });
  breath.connect(new GainNode(audio, { gain: 0.25 })).connect(loudness.gain);
  tone.connect(loudness).connect(out);
  tone.start();
  breath.start();
  return { track: out.stream.getAudioTracks()[0], end: () => audio.close() };
}

/** A tone in the left of two channels. */
export function sided(hertz) {
  const audio = new AudioContext();
  const tone = new OscillatorNode(audio, { frequency: hertz });
  const both = new ChannelMergerNode(audio, { numberOfInputs: 2 });
  const out = new MediaStreamAudioDestinationNode(audio, { channelCount: 2 });
  tone.connect(new GainNode(audio, { gain: 0.35 })).connect(both, 0, 0);
  both.connect(out);
  tone.start();
  return { track: out.stream.getAudioTracks()[0], end: () => audio.close() };
}

/** How loud the two channels of a track are over a moment, from 0 to 1. */
export async function sides(track) {
  const audio = new AudioContext();
  try {
    const split = new ChannelSplitterNode(audio, { numberOfOutputs: 2 });
    audio.createMediaStreamSource(new MediaStream([track])).connect(split);
    const meters = [0, 1].map((i) => {
      const meter = new AnalyserNode(audio, { fftSize: 4096 });
      split.connect(meter, i);
      return meter;
    });
    await new Promise((r) => setTimeout(r, 250));
    return meters.map((meter) => {
      const wave = new Float32Array(meter.fftSize);
      meter.getFloatTimeDomainData(wave);
      return Math.sqrt(wave.reduce((sum, v) => sum + v * v, 0) / wave.length);
    });
  } finally {
    await audio.close();
  }
}

/** One row for what arrives of one publication. */
export async function inbound(pub) {
  const row = { subscribed: pub.isSubscribed, muted: pub.isMuted, sid: pub.trackSid };
  const stats = await pub.track?.getRTCStatsReport();
  stats?.forEach((s) => {
    if (s.type !== "inbound-rtp") return;
    row.packets = s.packetsReceived;
    row.bytes = s.bytesReceived;
    row.lost = s.packetsLost;
    row.codec = stats.get(s.codecId)?.mimeType;
    row.jitterBuffer = s.jitterBufferEmittedCount ? s.jitterBufferDelay / s.jitterBufferEmittedCount : 0;
    if (s.kind === "video") {
      Object.assign(row, { frames: s.framesDecoded ?? 0, keyframes: s.keyFramesDecoded, width: s.frameWidth, height: s.frameHeight });
      Object.assign(row, { freezes: s.freezeCount, nack: s.nackCount, pli: s.pliCount, dropped: s.framesDropped });
    } else {
      Object.assign(row, { samples: s.totalSamplesReceived ?? 0, energy: s.totalAudioEnergy ?? 0, level: s.audioLevel });
      Object.assign(row, { concealed: s.concealedSamples, silent: s.silentConcealedSamples });
    }
  });
  const el = pub.track?.attachedElements[0];
  if (el) Object.assign(row, { time: el.currentTime, elWidth: el.videoWidth, elHeight: el.videoHeight });
  return row;
}

/** One row for each encoding of what a participant sends. */
export async function outbound(local) {
  const out = [];
  for (const pub of local.trackPublications.values()) {
    const stats = new Map(await pub.track?.getRTCStatsReport());
    // Further codecs of a track have senders of their own.
    for (const further of pub.track?.simulcastCodecs?.values() ?? []) {
      for (const [id, s] of (await further.sender?.getStats()) ?? []) stats.set(id, s);
    }
    stats.forEach((s) => {
      if (s.type !== "outbound-rtp") return;
      const { rid, kind, packetsSent, framesSent, frameWidth, frameHeight, active, qualityLimitationReason, scalabilityMode } = s;
      out.push({
        source: pub.source, rid, kind, packetsSent, framesSent, frameWidth, frameHeight, active, qualityLimitationReason, scalabilityMode,
        codec: stats.get(s.codecId)?.mimeType,
      });
    });
  }
  return out;
}

/** The transports of a room: ciphers, and the pair of candidates each uses. */
export async function transports(room) {
  const { publisher, subscriber } = room.engine.pcManager;
  const out = [];
  for (const [name, transport] of Object.entries({ publisher, subscriber })) {
    const stats = await transport?.getStats();
    stats?.forEach((s) => {
      if (s.type !== "transport" || s.dtlsState !== "connected") return;
      const pair = stats.get(s.selectedCandidatePairId);
      const remote = stats.get(pair?.remoteCandidateId);
      out.push({
        name, srtp: s.srtpCipher, dtls: s.dtlsCipher, tls: s.tlsVersion, role: s.dtlsRole,
        protocol: remote?.protocol, address: `${remote?.address}:${remote?.port}`, rtt: pair?.currentRoundTripTime,
      });
    });
  }
  return out;
}
