// Finds addresses in what people write, so that they can be followed. Only http and https.

const candidate = /(?:https?:\/\/|www\.)[^\s<>"]+/gi;
const pairs = { ")": "(", "]": "[", "}": "{" };

// parts cuts a text into {text} and {text, href}; joined, the texts are the text again.
export function parts(text) {
  const out = [];
  let at = 0;
  for (const m of text.matchAll(candidate)) {
    const found = trim(m[0]), href = address(found);
    if (!href || /\w/.test(text[m.index - 1] || "")) continue;
    if (m.index > at) out.push({ text: text.slice(at, m.index) });
    out.push({ text: found, href });
    at = m.index + found.length;
  }
  if (at < text.length) out.push({ text: text.slice(at) });
  return out;
}

// trim gives the end of the sentence back: its full stop, or a bracket opened before.
function trim(found) {
  let s = found;
  for (;;) {
    const last = s[s.length - 1], open = pairs[last];
    if (/[.,;:!?'’»…]/.test(last) || (open && s.split(last).length > s.split(open).length)) s = s.slice(0, -1);
    else return s;
  }
}

function address(found) {
  try {
    const url = new URL(/^www\./i.test(found) ? `https://${found}` : found);
    const web = url.protocol === "https:" || url.protocol === "http:";
    // What stands before an @ looks like the address and is not.
    return web && !url.username && !url.password && (url.hostname.includes(".") || url.hostname === "localhost") ? url.href : "";
  } catch {
    return "";
  }
}
