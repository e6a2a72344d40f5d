// Selecting tiles of the grid, or rows of a list, by pointer and by keys, and deciding about them where they are; Ctrl+Z takes it back.
"use strict";

import { among, here, link, means, stand, tileOf, tiles } from "./tiles.js";

const PAGE = 24; // more pictures than a page are counted by the server first
const DRAG = 6; // pixels after which a pressed button drags, and does not click
const chosen = new Map(); // picture -> the box's value, which also says what its person saw
let last = null; // the picture from which a range begins

function form() { return document.getElementById("selection"); }
function whole() { return form().elements.all; }
function details() { return form().querySelector("details"); }
function boxes() { return [...document.querySelectorAll(".pick input")]; }
function box(tile) { return tile?.querySelector(".pick input") ?? null; }
function id(each) { return each.value.split(":")[0]; }
function say(words) { form().querySelector("[data-picked]").textContent = words; }

function count() {
  const number = whole().checked ? "All of this filter" : chosen.size;
  say(number === 0 ? "Tick pictures" : whole().checked ? `${number}, on all pages` : `${number} selected`);
  form().classList.toggle("is-used", whole().checked || chosen.size > 0);
}

function set(each, on) {
  each.checked = on;
  tileOf(each).classList.toggle("is-picked", on);
  if (on) chosen.set(id(each), each.value); else chosen.delete(id(each));
}

function range(to) {
  const all = boxes();
  const ends = [all.findIndex((each) => last !== null && id(each) === last), all.indexOf(to)].sort((a, b) => a - b);
  for (const each of all.slice(Math.max(ends[0], 0), ends[1] + 1)) set(each, to.checked);
}

function choose(each, { on = !each.checked, ranged = false } = {}) {
  set(each, ranged && last !== null ? true : on);
  if (ranged) range(each);
  last = id(each);
  count();
}

function clear() {
  boxes().forEach((each) => set(each, false));
  whole().checked = false;
  details().open = false;
  last = null;
  count();
}

// --- Pointer ---------------------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const ticked = event.target.closest(".pick input");
  const picture = event.target.closest(".pair");
  if (ticked) {
    set(ticked, ticked.checked);
    if (event.shiftKey) range(ticked);
    last = id(ticked);
    count();
  } else if (picture && event.shiftKey && box(tileOf(picture))) {
    // A picture itself is a link: with shift it is selected instead, up to where one was selected before.
    event.preventDefault();
    choose(box(tileOf(picture)), { ranged: true });
  }
});
document.addEventListener("change", (event) => { if (event.target.name === "all") count(); });
document.addEventListener("dragstart", (event) => { if (among(event.target)) event.preventDefault(); });

function crosses(tile, area) {
  const { left, top, right, bottom } = tile.getBoundingClientRect();
  const [x, y] = [area.left - scrollX, area.top - scrollY];
  return left < x + area.width && right > x && top < y + area.height && bottom > y;
}

document.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || event.pointerType !== "mouse" || event.shiftKey) return;
  if (!among(event.target) || event.target.closest(".pick, .touch, .button")) return;
  const from = [event.pageX, event.pageY];
  const before = new Set(chosen.keys());
  const over = new AbortController(); // of what is heard until the button is up
  let lasso = null;
  const move = (now) => {
    const area = { left: Math.min(from[0], now.pageX), top: Math.min(from[1], now.pageY),
      width: Math.abs(now.pageX - from[0]), height: Math.abs(now.pageY - from[1]) };
    if (!lasso && Math.hypot(area.width, area.height) < DRAG) return;
    if (!lasso) {
      lasso = document.body.appendChild(document.createElement("div"));
      lasso.className = "lasso";
      document.documentElement.classList.add("is-dragging");
    }
    for (const [name, value] of Object.entries(area)) lasso.style[name] = `${value}px`;
    for (const tile of tiles()) if (box(tile)) set(box(tile), before.has(id(box(tile))) || crosses(tile, area));
    count();
  };
  const end = () => {
    over.abort();
    document.documentElement.classList.remove("is-dragging");
    if (!lasso) return;
    lasso.remove();
    // The click that ends a drag opens no picture.
    const stop = (click) => { click.preventDefault(); click.stopPropagation(); };
    document.addEventListener("click", stop, { capture: true, once: true });
    setTimeout(() => document.removeEventListener("click", stop, { capture: true }));
  };
  document.addEventListener("pointermove", move, { signal: over.signal });
  for (const each of ["pointerup", "pointercancel"]) document.addEventListener(each, end, { signal: over.signal });
});

// --- Keys ------------------------------------------------------------------------------------------------------------

// What is selected, or else the tile with the focus.
function meant() {
  if (whole().checked || chosen.size) return true;
  const own = box(here());
  if (own) choose(own, { on: true });
  return Boolean(own);
}
function press(verdict) {
  if (meant()) form().requestSubmit(form().querySelector(`[name=do][value=${verdict}]`));
}
function reasons() {
  if (!meant()) return;
  details().open = true;
  details().querySelector("[name=reason]")?.focus();
}

const ACTIONS = {
  a: () => press("approve"),
  u: () => press("undo"),
  w: reasons,
  r: () => { if (here()) link(here()).click(); }, // the whole window says what a redo costs
  " ": (event) => { if (box(here())) choose(box(here()), { ranged: event.shiftKey }); },
};

function inReasons(event) {
  const noting = event.target.closest("[name=note]");
  if (event.key === "Escape") { clear(); stand(tiles().find((tile) => tile.dataset.job === from)); return true; }
  if (event.key === "Enter" && event.target.closest("button")) return false; // which it presses
  if (event.key === "Enter") { press("needs_work"); return true; }
  const reason = noting ? null : details().querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!reason) return false;
  reason.checked = true;
  press("needs_work");
  return true;
}

let from = null; // the job whose tile had the focus last
document.addEventListener("focusin", () => { if (here()) from = here().dataset.job; });
document.addEventListener("keydown", (event) => {
  const held = event.ctrlKey || event.metaKey;
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (document.querySelector("dialog[open]") || (typing && !details().contains(typing))) return;
  if (details().open && !held) { if (inReasons(event)) event.preventDefault(); return; }
  if (typing) return;
  const undo = document.querySelector(".undo-all button");
  if (held && event.key === "z" && undo) undo.click();
  else if (held && event.key === "a" && means(event) && boxes().length) { boxes().forEach((each) => set(each, true)); count(); }
  else if (event.key === "Escape") clear();
  else if (!held && means(event) && ACTIONS[event.key] && !event.repeat) ACTIONS[event.key](event);
  else return;
  event.preventDefault();
});

// --- Deciding --------------------------------------------------------------------------------------------------------

let sending = false;
document.addEventListener("submit", (event) => {
  const own = event.target;
  if (own.id !== "selection" && !own.matches(".undo-all")) return;
  // Counted first, on a page of its own.
  if (own.id === "selection" && (whole().checked || chosen.size > PAGE || event.submitter?.hasAttribute("formaction"))) return;
  event.preventDefault();
  if (!sending) send(own, event.submitter);
});

async function send(own, button) {
  sending = true;
  const fields = new URLSearchParams(new FormData(own, button));
  const following = here() || details().open ? ahead() : null;
  try {
    const answer = await fetch(own.action, { method: "POST", body: fields, headers: { Accept: "text/html" } });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (answer.ok && page.getElementById("selection")) put(page, following);
    else say(`Not written: ${answer.redirected ? "sign in again" : page.querySelector("main p")?.textContent ?? answer.status}`);
  } catch {
    say("Not written: the server does not answer. Try again.");
  } finally { sending = false; }
}

// Where the focus is, and the jobs behind it that are not decided now.
function ahead() {
  const all = tiles();
  const at = Math.max(0, all.findIndex((tile) => tile.dataset.job === from));
  return { at, jobs: all.slice(at).filter((tile) => !tile.classList.contains("is-picked")).map((tile) => tile.dataset.job) };
}

// Shows the page that answered in the place of this one: the focus goes to the first job of `following` that is there.
// That is known from before: the grid may have been fetched again meanwhile, without the tiles that were decided.
function put(page, following) {
  chosen.clear();
  for (const part of document.querySelectorAll("#main > [data-part], #main > .at-hand")) {
    const fresh = page.querySelector(part.dataset.part ? `#main > [data-part="${part.dataset.part}"]` : "#main > .at-hand");
    const [was, is] = [part, fresh].map((each) => each?.querySelector(".further"));
    if (was && is) is.open = was.open;
    if (fresh) part.replaceWith(document.adoptNode(fresh));
  }
  count();
  fade();
  if (!following) return;
  const there = new Map(tiles().map((tile) => [tile.dataset.job, tile]));
  const next = following.jobs.find((job) => there.has(job));
  stand(there.get(next) ?? tiles()[Math.min(following.at, tiles().length - 1)]);
}

// A tile that is fetched again while the page is open stays selected, unless its picture got another verdict meanwhile.
// What is said of those that are selected, such as that they were not written, stays as long as they do.
function again() {
  const before = chosen.size;
  const there = new Map(boxes().map((each) => [id(each), each]));
  for (const [picture, value] of chosen) {
    const each = there.get(picture);
    if (!each) chosen.delete(picture);
    else if (!each.checked) set(each, each.value === value);
  }
  if (chosen.size !== before) count();
}

// What was decided is said once, and can be taken back for a while: a page that is loaded again shows the filter alone.
function fade() {
  const outcome = document.querySelector(".outcome");
  if (!outcome) return;
  const address = new URL(location.href);
  for (const name of ["did", "number", "left", "selection"]) address.searchParams.delete(name);
  history.replaceState(null, "", address);
  setTimeout(() => outcome.querySelector(".undo-all")?.remove(), Number(outcome.dataset.seconds) * 1000);
}

// What a browser ticked by itself, after going back, was not selected by a person.
clear();
fade();
new MutationObserver((changes) => {
  if (changes.some(({ target }) => !form().contains(target))) again();
}).observe(document.getElementById("main"), { childList: true, subtree: true });
document.documentElement.dataset.selects = "yes";
