// Moving over the grid by keys, and the picture before while a pointer is on a tile, or a key or a finger is held.
"use strict";

import { here, link, means, stand, tiles } from "./tiles.js";

const HELD = 300; // milliseconds after which a finger is held, and not tapped
const COMES = "recast-grid-comes"; // where the next page begins: its first tile or its last

function columns(all) { return all.filter((tile) => tile.offsetTop === all[0].offsetTop).length; }

function move(by) {
  const all = tiles();
  const at = all.indexOf(here());
  if (at < 0) { stand(all[0]); return; }
  const row = columns(all);
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: row, ArrowUp: -row };
  const to = all[at + steps[by]];
  const lower = by === "ArrowDown" && Math.floor(at / row) < Math.floor((all.length - 1) / row); // a shorter row
  if (to || lower) stand(to ?? all.at(-1));
  else turn(steps[by] > 0);
}

function turn(forward) {
  const page = document.querySelector(`.pages a[rel=${forward ? "next" : "prev"}]`);
  if (!page) return;
  sessionStorage.setItem(COMES, forward ? "first" : "last");
  page.click();
}

function find(name) {
  document.querySelector(".further").open = true;
  document.querySelector(`.find [name=${name}]`).select();
}

const keys = document.getElementById("grid-keys");
const ACTIONS = {
  ArrowRight: move, ArrowLeft: move, ArrowDown: move, ArrowUp: move,
  Home: () => stand(tiles()[0]),
  End: () => stand(tiles().at(-1)),
  b: () => before(here()),
  "/": () => find("key"),
  g: () => find("jump"),
  "?": () => keys.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (!means(event) || event.ctrlKey || event.metaKey || !ACTIONS[event.key]) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) ACTIONS[event.key](event.key);
});
document.addEventListener("keyup", (event) => { if (event.key === "b") before(null); });
addEventListener("blur", () => before(null));
keys.addEventListener("click", (event) => { if (event.target.value === "close") keys.close(); });
document.addEventListener("click", (event) => { if (event.target.closest(".help-button")) keys.showModal(); });

// --- Before ----------------------------------------------------------------------------------------------------------

let shown = null; // the job whose picture before is shown

function before(tile) {
  shown = tile?.dataset.job ?? null;
  mark();
}

function mark() {
  for (const tile of tiles()) link(tile).classList.toggle("is-before", tile.dataset.job === shown);
}

// A tile that is fetched again while the page is open shows it still.
new MutationObserver(mark).observe(document.getElementById("main"), { childList: true, subtree: true });

let holding = null;
let held = false;
document.addEventListener("pointerover", (event) => {
  // A page that moves under a pointer at rest says so, also while a finger is held.
  if (event.pointerType !== "mouse" || event.buttons || holding !== null) return;
  before(event.target.closest(".cards:not(.size-large) .pair")?.closest(".card"));
});

document.addEventListener("pointerdown", (event) => {
  const pair = event.target.closest(".cards .pair");
  held = false;
  if (!pair || event.pointerType === "mouse") return;
  holding = setTimeout(() => { held = true; before(pair.closest(".card")); }, HELD);
});
for (const end of ["pointerup", "pointercancel"]) {
  document.addEventListener(end, () => { clearTimeout(holding); holding = null; before(null); });
}
// A busy browser may have its own menu before our time is up: a finger that rests means ours.
document.addEventListener("contextmenu", (event) => { if (held || holding !== null) event.preventDefault(); });
document.addEventListener("click", (event) => {
  if (held && event.target.closest(".cards .pair")) { event.preventDefault(); held = false; }
}, true);

// --- Where a page begins ---------------------------------------------------------------------------------------------

const comes = sessionStorage.getItem(COMES);
sessionStorage.removeItem(COMES);
if (comes) stand(comes === "first" ? tiles()[0] : tiles().at(-1));
else if (new URLSearchParams(location.search).get("jump")) stand(tiles()[0]);
document.documentElement.dataset.moves = "yes";
