// Selecting many pictures of the grid: a range by shift, a count, and Ctrl+Z for what was just decided.
"use strict";

const picks = document.getElementById("selection");
const picked = picks.querySelector("[data-picked]");
const whole = picks.elements.all;
const outcome = document.querySelector(".outcome");
const chosen = new Map(); // picture -> the box's value, which also says what its person saw
let last = null;

function boxes() { return [...document.querySelectorAll(".pick input")]; }
function id(box) { return box.value.split(":")[0]; }

function count() {
  const number = whole.checked ? "All of this filter" : chosen.size;
  picked.textContent = number === 0 ? "Tick pictures" : whole.checked ? `${number}, on all pages` : `${number} selected`;
  picks.classList.toggle("is-used", whole.checked || chosen.size > 0);
}

function set(box, on) {
  box.checked = on;
  box.closest(".card").classList.toggle("is-picked", on);
  if (on) chosen.set(id(box), box.value); else chosen.delete(id(box));
}

function range(box) {
  const all = boxes();
  const [from, to] = [all.findIndex((each) => last !== null && id(each) === last), all.indexOf(box)].sort((a, b) => a - b);
  for (const each of all.slice(Math.max(from, 0), to + 1)) set(each, box.checked);
}

document.addEventListener("click", (event) => {
  const box = event.target.closest(".pick input");
  const picture = event.target.closest(".pair");
  if (box) {
    set(box, box.checked);
    if (event.shiftKey) range(box);
  } else if (picture && event.shiftKey) {
    // A picture itself is a link: with shift it is selected instead, up to where one was selected before.
    const own = picture.closest(".card").querySelector(".pick input");
    if (!own) return;
    event.preventDefault();
    set(own, last === null ? !own.checked : true);
    range(own);
  } else return;
  last = id(box || picture.closest(".card").querySelector(".pick input"));
  count();
});

whole.addEventListener("change", count);

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (typing || document.querySelector("dialog[open]")) return;
  const undo = outcome?.querySelector(".undo-all button");
  if (event.key === "z" && (event.ctrlKey || event.metaKey) && undo) {
    event.preventDefault();
    undo.click();
  } else if (event.key === "Escape") {
    boxes().forEach((box) => set(box, false));
    whole.checked = false;
    picks.querySelector("details").open = false;
    count();
  }
});

// A card that is fetched again while the page is open stays selected, unless its picture got another verdict meanwhile.
function again() {
  const there = new Map(boxes().map((box) => [id(box), box]));
  for (const [picture, value] of chosen) {
    const box = there.get(picture);
    if (box && !box.checked) set(box, box.value === value);
  }
  count();
}
// What a browser ticked by itself, after going back, was not selected by a person.
for (const box of boxes()) set(box, false);
whole.checked = false;
count();
new MutationObserver((changes) => {
  if (changes.some(({ target }) => !picks.contains(target))) again();
}).observe(document.getElementById("main"), { childList: true, subtree: true });

if (outcome) {
  // What was decided is said once: a page that is loaded again shows the filter alone.
  const here = new URL(location.href);
  for (const name of ["did", "number", "left", "selection"]) here.searchParams.delete(name);
  history.replaceState(null, "", here);
  setTimeout(() => outcome.querySelector(".undo-all")?.remove(), Number(outcome.dataset.seconds) * 1000);
}
document.documentElement.dataset.selects = "yes";
