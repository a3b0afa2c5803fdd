// Reactions and raised hands. A reaction passes: a reliable user packet without a topic,
// {"type":"reactionReceived","data":{"emoji":"thumbs-up"}}. A raised hand stays: the
// attribute handRaisedAt of the person, so that those who come later see it.

export const HAND = "handRaisedAt";

export const reactions = {
  "thumbs-up": "👍", "clapping-hands": "👏", "red-heart": "❤️",
  "face-with-tears-of-joy": "😂", "face-with-open-mouth": "😮", "party-popper": "🎉",
};
export const reactionKeys = {
  "thumbs-up": "thumbsUp", "clapping-hands": "clapping", "red-heart": "heart",
  "face-with-tears-of-joy": "joy", "face-with-open-mouth": "surprise", "party-popper": "party",
};

const MAX_PACKET = 512; // bytes of a reaction; ours take 70
const BURST = 5, WINDOW = 3000; // reactions of one person shown in so many ms

export function writeReaction(name) {
  return new TextEncoder().encode(JSON.stringify({ type: "reactionReceived", data: { emoji: name } }));
}

// readReaction returns the name of a reaction that we know, or "".
export function readReaction(payload) {
  if (payload.length > MAX_PACKET) return "";
  try {
    const { type, data } = JSON.parse(new TextDecoder().decode(payload));
    return type === "reactionReceived" && Object.hasOwn(reactions, data.emoji) ? data.emoji : "";
  } catch {
    return "";
  }
}

// Tempo keeps one person from flooding the others.
export class Tempo {
  constructor() { this.times = new Map(); }

  allows(who, now) {
    const recent = (this.times.get(who) || []).filter((at) => now - at < WINDOW);
    const ok = recent.length < BURST;
    if (ok) recent.push(now);
    this.times.set(who, recent);
    return ok;
  }
}

// raisedAt reads the attribute: ms, or 0 for a hand that is down or makes no sense.
export function raisedAt(attributes) {
  const text = attributes[HAND];
  return (text && text.length <= 40 && Date.parse(text)) || 0;
}

// hands lists who has a hand up, the longest waiting first.
export function hands(people) {
  return people.filter((p) => p.hand).sort((a, b) => a.hand - b.hand || (a.identity < b.identity ? -1 : 1));
}
