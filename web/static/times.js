// Times as people say them, with the exact one, in the viewer's own zone, on the pointer and on focus.
"use strict";

const TIMES_EVERY = 20000; // milliseconds between two looks at the clock
const EXACT = new Intl.DateTimeFormat("en-US", { dateStyle: "medium", timeStyle: "long", hourCycle: "h23" });
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]]; // seconds

// The largest unit of what is over, and the two largest of what comes.
function relative(time, now) {
  const seconds = Math.round(Math.abs(now - time) / 1000);
  const at = Math.max(0, UNITS.findIndex(([size]) => seconds >= size));
  const [[size, unit], smaller] = [seconds ? UNITS[at] : UNITS.at(-1), UNITS[at + 1]];
  const number = Math.floor(seconds / size);
  if (time <= now) return `${number} ${unit} ago`;
  const rest = smaller ? Math.floor((seconds % size) / smaller[0]) : 0;
  return `in ${number} ${unit}${rest ? ` ${rest} ${smaller[1]}` : ""}`;
}

// On a page that is fetched, too, before it is compared with the one that is shown.
function showTimes(page) {
  const now = Date.now();
  for (const each of page.querySelectorAll("time[datetime]")) {
    const time = Date.parse(each.dateTime);
    each.dataset.utc ??= each.textContent;
    const text = relative(time, now) + ("shown" in each.dataset ? `, ${each.dataset.utc}` : "");
    if (each.textContent === text) continue;
    each.textContent = text;
    each.dataset.exact = EXACT.format(time);
    each.tabIndex = 0;
  }
}

showTimes(document);
setInterval(() => showTimes(document), TIMES_EVERY);
new MutationObserver((changes) => {
  if (changes.some((change) => [...change.addedNodes].some((node) => node.nodeType === 1))) showTimes(document);
}).observe(document.body, { childList: true, subtree: true });
