// How people, places and pictures are called.
import { t } from "./i18n.js";

export const capital = (region) => region.charAt(0).toUpperCase() + region.slice(1);

// place says where somebody is: the region, and the node unless it is called the same.
export function place({ region, node }) {
  return node && node !== region ? t("onNode", { region: capital(region), node }) : capital(region);
}

export function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : [words[0]];
  return letters.map((w) => [...w][0] || "").join("").toUpperCase();
}

// caption names a picture: the person, or whose screen it is.
export function caption(name, screen, mine) {
  if (screen) return mine ? t("yourScreen") : t("screenOf", { name });
  return mine ? t("you", { name }) : name;
}

// memory keeps the person's choices in this browser; a private window forgets.
export const memory = {
  get(key) { try { return localStorage.getItem(`maille.${key}`); } catch { return null; } },
  set(key, value) { try { localStorage.setItem(`maille.${key}`, value); } catch { /* private window */ } },
};
