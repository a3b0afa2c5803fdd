// Picks the language of the browser and puts sentences in place.
import { strings } from "./strings.js";

// choose returns the first wanted language that there is, else English.
export function choose(wanted) {
  for (const tag of wanted) {
    const short = tag.toLowerCase().split("-")[0];
    if (strings[short]) return short;
  }
  return "en";
}

let language = "en";

export function use(tag) { language = tag; }

// t returns a sentence with its {places} filled.
export function t(key, values = {}) {
  const sentence = strings[language][key];
  if (sentence === undefined) throw new Error(`no string ${key}`);
  return sentence.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));
}

// number writes a number as the page's language does, millis a time in ms.
export const number = (n, digits) => n.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
export const millis = (n) => (Number.isFinite(n) ? t("ms", { n: number(n, n < 10 ? 1 : 0) }) : "");

// translate fills the elements that name their sentence in data-t (text), data-t-label or data-t-hint.
export function translate(root) {
  for (const e of root.querySelectorAll("[data-t]")) e.textContent = t(e.dataset.t);
  for (const e of root.querySelectorAll("[data-t-label]")) e.setAttribute("aria-label", t(e.dataset.tLabel));
  for (const e of root.querySelectorAll("[data-t-hint]")) e.placeholder = t(e.dataset.tHint);
}

// failure turns an error of a join, a capture or an ending into a sentence.
export function failure(err) {
  const { kind, text = "" } = err;
  if (kind === "left") return strings[language][`left${text}`] || t("leftOther", { text });
  if (kind === "token") return t("refusedToken", { text: sentence(text) });
  if (kind && strings[language][kind]) return t(kind, { text });
  return t("node", { text: err.message || kind });
}

function sentence(text) {
  const s = text || "401";
  return /[.!?]$/.test(s) ? s : `${s}.`;
}
