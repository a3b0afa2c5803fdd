// A protobuf codec driven by tables, for the few messages the page needs.
//
// message("Name", "1 sid string; 2 tracks []Track; 3 id ?string; 4 labels map") declares a
// message. Types are string, bytes, bool, float, int (every varint: enums and 64-bit
// numbers too, exact to 2^53), map (string to string) or a message's name. "[]" repeats,
// "?" marks members of a oneof and optional fields: absent stays undefined.

const messages = new Map();
const scalars = { string: "", bytes: null, bool: false, float: 0, int: 0 };
const text = { encoder: new TextEncoder(), decoder: new TextDecoder() };

export function message(name, table) {
  const byNumber = new Map();
  const fields = table.split(";").map((line) => line.trim()).filter(Boolean).map((line) => {
    const [number, field, kind] = line.split(/\s+/);
    const type = kind.replace(/^\[\]|^\?/, "");
    const f = { number: Number(number), field, type, repeated: kind.startsWith("[]"), optional: kind.startsWith("?") };
    byNumber.set(f.number, f);
    return f;
  });
  messages.set(name, { fields, byNumber });
}

// declared lists every message for the tests.
export const declared = () => messages;

class Writer {
  constructor() { this.out = []; }
  varint(value) {
    if (value < 0) { this.negative(value); return; }
    while (value > 127) {
      this.out.push((value % 128) | 128);
      value = Math.floor(value / 128);
    }
    this.out.push(value);
  }
  negative(value) {
    let rest = BigInt.asUintN(64, BigInt(value));
    while (rest > 127n) {
      this.out.push(Number(rest & 127n) | 128);
      rest >>= 7n;
    }
    this.out.push(Number(rest));
  }
  block(number, bytes) {
    this.varint(number * 8 + 2);
    this.varint(bytes.length);
    for (const b of bytes) this.out.push(b);
  }
}

function writeField(w, f, value) {
  switch (f.type) {
    case "string": w.block(f.number, text.encoder.encode(value)); break;
    case "bytes": w.block(f.number, value); break;
    case "bool": case "int":
      w.varint(f.number * 8);
      w.varint(Number(value));
      break;
    case "float": {
      w.varint(f.number * 8 + 5);
      const view = new DataView(new ArrayBuffer(4));
      view.setFloat32(0, value, true);
      w.out.push(...new Uint8Array(view.buffer));
      break;
    }
    case "map":
      for (const [key, v] of Object.entries(value)) {
        const entry = new Writer();
        entry.block(1, text.encoder.encode(key));
        entry.block(2, text.encoder.encode(v));
        w.block(f.number, entry.out);
      }
      break;
    default: w.block(f.number, encode(f.type, value));
  }
}

// encode returns the bytes of a message; fields it does not know are an error, because
// they are misspelt.
export function encode(name, object) {
  const { fields } = messages.get(name);
  for (const key of Object.keys(object)) {
    if (!fields.some((f) => f.field === key)) throw new Error(`${name} has no field ${key}`);
  }
  const w = new Writer();
  for (const f of fields) {
    const value = object[f.field];
    if (value === undefined || value === null) continue;
    if (f.repeated) {
      for (const one of value) writeField(w, f, one);
    } else if (f.optional || !(f.type in scalars) || (f.type === "bytes" ? value.length : value !== scalars[f.type])) {
      writeField(w, f, value);
    }
  }
  return new Uint8Array(w.out);
}

class Reader {
  constructor(bytes) { this.bytes = bytes; this.at = 0; }
  more() { return this.at < this.bytes.length; }
  byte() {
    if (!this.more()) throw new Error("message ends too early");
    return this.bytes[this.at++];
  }
  varint() {
    let value = 0, scale = 1;
    for (let i = 0; i < 10; i++) {
      const b = this.byte();
      if (i === 9) return -1; // negative numbers take ten bytes; the page only tells them from others
      value += (b & 127) * scale;
      if (b < 128) return value;
      scale *= 128;
    }
    return value;
  }
  block() { return this.take(this.varint()); }
  take(size) {
    if (size < 0 || this.at + size > this.bytes.length) throw new Error("message ends too early");
    this.at += size;
    return this.bytes.subarray(this.at - size, this.at);
  }
  fixed32() {
    const b = this.take(4);
    return new DataView(b.buffer, b.byteOffset, 4).getFloat32(0, true);
  }
  skip(wire) {
    if (wire === 0) this.varint();
    else if (wire === 1) this.take(8);
    else if (wire === 2) this.block();
    else if (wire === 5) this.take(4);
    else throw new Error("unknown wire type");
  }
}

const wireOf = (type) => (type === "int" || type === "bool" ? 0 : type === "float" ? 5 : 2);

function readField(r, f) {
  switch (f.type) {
    case "string": return text.decoder.decode(r.block());
    case "bytes": return r.block().slice();
    case "int": return r.varint();
    case "bool": return r.varint() !== 0;
    case "float": return r.fixed32();
    case "map": return mapEntry(r.block());
    default: return decode(f.type, r.block());
  }
}

function mapEntry(bytes) {
  const r = new Reader(bytes), entry = ["", ""];
  while (r.more()) {
    const tag = r.varint();
    if (tag === 10 || tag === 18) entry[(tag >> 3) - 1] = text.decoder.decode(r.block());
    else r.skip(tag & 7);
  }
  return entry;
}

function blank(fields) {
  const out = {};
  for (const f of fields) {
    if (f.repeated) out[f.field] = [];
    else if (f.type === "map") out[f.field] = {};
    else if (f.type === "bytes" && !f.optional) out[f.field] = new Uint8Array();
    else if (f.type in scalars && !f.optional) out[f.field] = scalars[f.type];
  }
  return out;
}

// decode reads a message; what the tables do not know is skipped.
export function decode(name, bytes) {
  const { fields, byNumber } = messages.get(name);
  const out = blank(fields), r = new Reader(bytes);
  while (r.more()) {
    const tag = r.varint(), wire = tag & 7, f = byNumber.get(Math.floor(tag / 8));
    if (f && f.repeated && wire === 2 && wireOf(f.type) === 0) {
      const packed = new Reader(r.block());
      while (packed.more()) out[f.field].push(readField(packed, f));
    } else if (!f || wire !== wireOf(f.type)) {
      r.skip(wire);
    } else if (f.type === "map") {
      const [key, value] = readField(r, f);
      out[f.field][key] = value;
    } else if (f.repeated) {
      out[f.field].push(readField(r, f));
    } else {
      out[f.field] = readField(r, f);
    }
  }
  return out;
}
