// Tokens as any backend mints them: claims signed with the key of `maille dev`.
import { createHmac } from "node:crypto";

const KEY = "devkey";
const SECRET = "secret";
const encode = (o) => Buffer.from(JSON.stringify(o)).toString("base64url");

export function sign(claims, secret = SECRET) {
  const head = `${encode({ alg: "HS256", typ: "JWT" })}.${encode(claims)}`;
  return `${head}.${createHmac("sha256", secret).update(head).digest("base64url")}`;
}

/** Claims for one identity in one room; grants and other claims may be given or replaced. */
export function claims(room, identity, { grants = {}, ...more } = {}) {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: KEY,
    sub: identity,
    nbf: now - 5,
    exp: now + 3600,
    video: { room, roomJoin: true, canUpdateOwnMetadata: true, ...grants },
    ...more,
  };
}

export const token = (room, identity, more) => sign(claims(room, identity, more));
