// Keeps a page up to date: a stream says that something has changed, then the page is fetched again and only the parts
// that differ are replaced, so that nothing flickers. Without a stream the page asks by itself. It says when it is stale.
const LEAST = 1000; // milliseconds between two fetches
const POLL = 10000; // between two, while there is no stream
const FIRST = 15000; // after which a page that is new is fetched once: of what changed before its stream, nobody tells it
const SILENT = 40000; // without a word, the stream is gone: the server says something every 15 seconds
const AGAIN = 30000; // before a stream that was refused is tried again
const PATIENCE = 20000; // without an answer, the server is not there
const box = document.getElementById("live");
const said = document.getElementById("live-said");
let stream = null;
let heard = 0; // when the stream said something last
let refused = 0; // when a stream was refused
let fetched = 0; // when the page was right
let waiting = null; // the next fetch
let asking = false; // one is under way: of two at once, the older answer might come last
let missed = false; // something has changed meanwhile
let lost = false;
let opened = false; // whether there was a stream before

function parts(element) {
  return [...element.children].filter((child) => child.dataset.part);
}

// Those that are in no other part.
function tops() {
  return [...document.querySelectorAll("#main [data-part]")].filter((part) => !part.parentElement.closest("[data-part]"));
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

// Where there is little room, only what is wrong is said.
function say(all, bad) {
  const words = box.hidden && !bad ? "" : all;
  if (said.textContent !== words) said.textContent = words;
  said.classList.toggle("is-lost", bad);
}

function state() {
  if (!box.checked) say("Not refreshed", false);
  else if (lost) say(`The connection is gone. These numbers are from ${new Date(fetched).toLocaleTimeString()}.`, true);
  else if (stream?.readyState === EventSource.OPEN) say("Up to date", false);
  else say(`Refreshed every ${POLL / 1000} seconds`, false);
}

// What a stream named is fetched if a part of the page shows such things; a part that does not say shows all of them.
function shows(topics) {
  return tops().some(({ dataset }) => !dataset.on || topics.some((each) => dataset.on.split(" ").includes(each)));
}

async function refresh() {
  waiting = null;
  if (!box.checked || document.hidden) return;
  asking = true;
  missed = false;
  try {
    const answer = await fetch(box.dataset.again || location.href, { cache: "no-store", redirect: "manual",
      headers: { "X-Recast-Again": "1" }, signal: AbortSignal.timeout(PATIENCE) });
    if (answer.type === "opaqueredirect" || answer.status === 401) return void leave();
    if (!answer.ok) throw new Error(answer.status);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    // The page was made for all in this role: its forms are this visitor's by what this page has, and what this visitor
    // has open is said to others only.
    const form = document.querySelector("input[name=form]")?.getAttribute("value");
    for (const field of form ? fresh.querySelectorAll("input[name=form]") : []) field.setAttribute("value", form);
    for (const theirs of fresh.querySelectorAll("[data-person]")) if (theirs.dataset.person === document.body.dataset.visitor) theirs.remove();
    showTimes(fresh);
    for (const part of tops()) {
      const other = fresh.querySelector(`[data-part="${CSS.escape(part.dataset.part)}"]`);
      if (other) sync(part, other);
    }
    fetched = Date.now();
    lost = false;
    document.documentElement.dataset.refreshed = String(fetched);
  } catch {
    lost = true; // the server does not answer; the next turn tries again
  } finally { asking = false; }
  if (missed) soon();
  state();
}

function leave() {
  close();
  box.checked = false;
  say("You are signed out. Load the page again to sign in.", true);
}

function soon() {
  if (asking) missed = true;
  else if (waiting === null) waiting = setTimeout(refresh, Math.max(0, fetched + LEAST - Date.now()));
}

function close() {
  stream?.close();
  stream = null;
}

function open() {
  close();
  if (!box.checked || document.hidden || Date.now() - refused < AGAIN) return;
  heard = Date.now();
  stream = new EventSource(box.dataset.stream);
  stream.addEventListener("alive", () => { heard = Date.now(); });
  stream.addEventListener("changed", (event) => {
    heard = Date.now();
    const { topics, jobs } = JSON.parse(event.data);
    document.dispatchEvent(new CustomEvent("recast:changed", { detail: { topics, jobs } }));
    if (shows(topics)) soon();
  });
  // What has happened while nobody listened is fetched.
  stream.addEventListener("open", () => {
    if (opened) soon(); else setTimeout(soon, FIRST);
    opened = true;
    document.documentElement.dataset.listens = "yes";
    state();
  });
  stream.addEventListener("error", () => {
    if (stream?.readyState === EventSource.CLOSED) { refused = Date.now(); close(); }
    soon(); // whether the server is there at all is known by the page itself
  });
}

function look() {
  const now = Date.now();
  if (stream && now - heard > SILENT) open();
  if (!stream) open();
  const every = stream?.readyState === EventSource.OPEN ? Number(box.dataset.every || Infinity) * 1000 : POLL;
  if (now - fetched >= every || lost) soon();
  if (!lost) state();
}

if (box) {
  fetched = Date.now();
  box.addEventListener("change", () => { if (box.checked) { refused = 0; open(); soon(); } else close(); state(); });
  document.addEventListener("visibilitychange", () => { if (document.hidden) close(); else { open(); soon(); } });
  addEventListener("pagehide", close);
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
  setInterval(look, 2000);
}
