// Refreshes a page: fetches it again and replaces only the parts that differ, so that nothing flickers.
"use strict";

const EVERY = 4000; // milliseconds; a page costs the database a few short queries
const box = document.getElementById("live");

function parts(element) {
  return [...element.children].filter((child) => child.dataset.part);
}

function sync(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  const before = parts(old);
  const after = parts(fresh);
  const same = before.length > 0 && before.length === after.length
    && before.every((part, place) => part.dataset.part === after[place].dataset.part);
  if (same) before.forEach((part, place) => sync(part, after[place]));
  else if (!old.contains(document.activeElement)) old.replaceWith(document.adoptNode(fresh));
}

async function refresh() {
  if (!box.checked || document.hidden) return;
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    showTimes(fresh);
    for (const part of parts(document.getElementById("main"))) {
      const other = fresh.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
      if (other) sync(part, other);
    }
    document.documentElement.dataset.refreshed = String(Date.now());
  } catch {
    // The server does not answer; the next turn tries again.
  }
}

if (box) setInterval(refresh, EVERY);
