// The tiles of a grid, or the rows of a list, that have jobs: which has the focus, and how it gets there.
"use strict";

const TILES = "[data-tiles]";
const TILE = `${TILES} [data-job]`;

export function tiles() { return [...document.querySelectorAll(TILE)]; }
export function tileOf(element) { return element?.closest(TILE) ?? null; }
export function here() { return tileOf(document.activeElement); }
export function link(tile) { return tile.querySelector(".pair"); }
export function among(element) { return Boolean(element.closest(TILES)); }

export function stand(tile) {
  if (!tile) return;
  link(tile).focus({ preventScroll: true });
  tile.scrollIntoView({ block: "nearest" });
}

// Whether a key is meant for the tiles: nothing is typed, nothing is open, and no other control has the focus.
export function means(event) {
  if (event.altKey || document.querySelector("dialog[open]")) return false;
  const { target } = event;
  return target === document.body || target.id === "main" || among(target);
}
