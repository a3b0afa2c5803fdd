// Tokens as any backend mints them: claims signed with the key of `maille dev`, or another.
import { createHmac } from "node:crypto";

const dev = { name: "devkey", secret: "secret" };
const encode = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");

export function sign(claims, secret = dev.secret) {
  const head = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${head}.${createHmac("sha256", secret).update(head).digest("base64url")}`;
}

/** Claims for one identity in one room; grants and other claims may be given or replaced. */
export function claims(room, identity, { grants = {}, ...more } = {}) {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: dev.name,
    sub: identity,
    nbf: now - 5,
    exp: now + 3600,
    video: { room, roomJoin: true, canUpdateOwnMetadata: true, ...grants },
    ...more,
  };
}

export const token = (room, identity, more, key = dev) => sign({ ...claims(room, identity, more), iss: key.name }, key.secret);
