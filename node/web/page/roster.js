// Who is in the meeting, as the node tells it: a complete list at the join, updates after.
import { ParticipantState, TrackType, Source, LinkQuality } from "./messages.js";
import { raisedAt } from "./floor.js";

const qualityNames = { [LinkQuality.POOR]: "poor", [LinkQuality.LOST]: "poor", [LinkQuality.GOOD]: "fair", [LinkQuality.EXCELLENT]: "good" };

export class Roster {
  constructor() {
    this.people = new Map(); // by identity; sids change when somebody rejoins
    this.me = null;
  }

  // reset starts over with a join; it returns nothing, the view draws everything anew.
  reset(me, others) {
    const was = this.people;
    this.people = new Map();
    this.me = me.identity;
    for (const info of [me, ...others]) this.people.set(info.identity, person(info, was.get(info.identity)));
  }

  // update applies a list of changes and returns who came and who left.
  update(infos) {
    const joined = [], left = [];
    for (const info of infos) {
      const known = this.people.get(info.identity);
      if (info.state === ParticipantState.DISCONNECTED) {
        // The old session of somebody who is back under a new sid ends here, too.
        if (known && known.sid === info.sid && info.identity !== this.me) {
          this.people.delete(info.identity);
          left.push(known);
        }
        continue;
      }
      if (known && known.sid === info.sid && info.version < known.version) continue;
      const now = person(info, known);
      this.people.set(info.identity, now);
      if (!known) joined.push(now);
    }
    return { joined, left };
  }

  speakers(list) {
    for (const s of list) {
      const p = this.bySid(s.sid);
      if (!p) continue;
      p.speaking = s.active && s.level > 0;
      p.level = p.speaking ? s.level : 0;
    }
  }

  qualities(list) {
    for (const q of list) {
      const p = this.bySid(q.participantSid);
      if (p) p.quality = qualityNames[q.quality] || "";
    }
  }

  bySid(sid) {
    for (const p of this.people.values()) if (p.sid === sid) return p;
    return undefined;
  }

  // owner finds whose track a sid is.
  owner(trackSid) {
    for (const p of this.people.values()) if (p.tracks.has(trackSid)) return p;
    return undefined;
  }

  list() {
    const all = [...this.people.values()];
    return [...all.filter((p) => p.identity === this.me), ...all.filter((p) => p.identity !== this.me)];
  }
}

function person(info, known) {
  const tracks = new Map();
  for (const t of info.tracks) tracks.set(t.sid, t);
  return {
    sid: info.sid, identity: info.identity, version: info.version,
    name: info.name || info.identity,
    region: info.region, node: info.attributes["maille.node"] || "",
    permission: info.permission, tracks, hand: raisedAt(info.attributes),
    speaking: Boolean(known && known.speaking), level: known ? known.level : 0,
    quality: known ? known.quality : "", // as the node says; "" when it does not
  };
}

// track returns a person's track from a source, or undefined.
export function track(p, source) {
  for (const t of p.tracks.values()) if (t.source === source) return t;
  return undefined;
}

// microphoneOff is true when nobody can hear the person.
export function microphoneOff(p) {
  const mic = track(p, Source.MICROPHONE);
  return !mic || mic.muted;
}

// pictures lists what of a person can be seen: one entry for the camera, which stands for
// the person, and one for each shared screen.
export function pictures(p) {
  const camera = track(p, Source.CAMERA);
  const out = [{ key: p.identity, screen: false, sid: camera && !camera.muted ? camera.sid : "" }];
  for (const t of p.tracks.values()) {
    if (t.type === TrackType.VIDEO && t.source === Source.SCREEN_SHARE && !t.muted) {
      out.unshift({ key: `${p.identity}/${t.sid}`, screen: true, sid: t.sid });
    }
  }
  return out;
}
