// The review desk without waiting: the server's own pages, loaded ahead and exchanged; verdicts that are never lost.
"use strict";

const AGAIN = [1000, 2000, 4000, 8000, 15000]; // milliseconds before an answer that did not arrive is sent again
const STILL = 60000; // milliseconds between two words that the picture is still looked at: half of what a claim lasts
const PATIENCE = 20000; // milliseconds without an answer, after which a verdict is sent again; it is written once
const UNDO = 10000; // milliseconds for which taking a verdict back is offered
const KEPT = 40; // pages kept in memory

const root = document.documentElement;
const unsaved = document.getElementById("unsaved");
const asked = document.getElementById("asked");
const keys = document.getElementById("keys");
const place = loupe().dataset.place;
const { person } = loupe().dataset;
const store = `recast-answer:${person}:${place}:`; // begins the names of this person's answers
const pages = new Map(); // job -> promise of its #loupe
const decided = new Set(); // jobs that were decided here, whatever a page that was loaded before says
let waiting = kept(); // answers that the server has not confirmed
let form = loupe().dataset.form; // what the server knows this visitor's forms by
let sending = null;
let offered = null;
let wantsFacts = false; // stays from one picture to the next

function loupe() { return document.getElementById("loupe"); }
function find(selector) { return loupe().querySelector(selector); }
function address(query) { return `${place}?${new URLSearchParams(query)}`; }
// Addresses name the walk, so that its next and its previous picture are the same for all who have them.
function walked(query) { return { ...query, ...JSON.parse(loupe().dataset.walk) }; }

// --- Pages -----------------------------------------------------------------------------------------------------------

async function load(query) {
  // A page for signing in that is loaded unseen would take the cookie of the one that is seen.
  const answer = await fetch(address(query), { headers: { Accept: "text/html" }, cache: "no-store", redirect: "manual" });
  if (answer.type === "opaqueredirect" || answer.status === 401) throw Object.assign(new Error("sign in again"), { signIn: true });
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const found = page.getElementById("loupe");
  if (!found) throw new Error(page.querySelector("main p")?.textContent || "the page cannot be shown");
  if (found.dataset.person !== person) { location.reload(); throw new Error("another person is signed in"); }
  form = found.dataset.form;
  return { found, counts: page.getElementById("counts"), title: page.title };
}

function ahead(job) {
  if (!pages.has(job)) {
    const coming = load(walked({ job, ahead: 1 }));
    pages.set(job, coming);
    if (pages.size > KEPT) pages.delete(pages.keys().next().value);
    coming.then(({ found }) => {
      for (const image of found.querySelectorAll(".stage img")) new Image().src = image.getAttribute("src");
    }).catch(() => pages.delete(job));
  }
  return pages.get(job);
}

function near(side) { return JSON.parse(loupe().dataset[side] || "[]"); }

function preload() {
  for (const each of [...near("after"), ...near("before").reverse()]) ahead(each.job);
}

function put({ found, title }, { push = true } = {}) {
  loupe().replaceWith(document.adoptNode(found.cloneNode(true)));
  document.title = title;
  const { job } = loupe().dataset;
  if (push) history.pushState({ job }, "", address(walked(job ? { job } : {})));
  begin();
}

async function busily(work) {
  root.classList.add("is-busy");
  try { return await work(); } catch (error) { say(error.signIn ? signIn() : `The server does not answer: ${error.message}.`); }
  finally { root.classList.remove("is-busy"); }
  return null;
}

async function show(job, options) {
  const page = await busily(() => ahead(job));
  if (!page) return false;
  put(page, options);
  pages.delete(job); // seen again later, it may have changed
  return take();
}

async function next(at) {
  const page = await busily(() => load(walked({ after: at })));
  if (page) { count(page.counts); put(page); }
}

// Says that the picture is looked at; false if another person has it.
async function take() {
  const { job, judges } = loupe().dataset;
  if (!job || !judges) return true;
  try {
    const answer = await post(new URLSearchParams({ do: "take", job }));
    const { taken } = answer.ok ? await answer.json() : {};
    const known = find(".taken");
    if (taken && !known && loupe().dataset.job === job) {
      const word = document.createElement("span");
      word.className = "is-held word taken";
      word.textContent = `${taken} has it open`;
      find(".bar-top").append(word);
    }
    return !taken;
  } catch { return true; }
}

async function goOn(after, from) {
  const following = after.find((each) => each.free && !decided.has(each.job));
  if (following && await show(following.job)) return;
  // Nothing near is left, or another person was faster: the server knows who has what.
  await sending;
  await next(following ? loupe().dataset.at : from);
}

function step(side) {
  const list = near(side);
  const each = side === "after" ? list[0] : list[list.length - 1];
  if (each) show(each.job);
}

// --- Answers ---------------------------------------------------------------------------------------------------------

function post(fields, signal) {
  fields.set("form", form);
  return fetch(place, { method: "POST", body: fields, headers: { Accept: "application/json" }, signal });
}

// Each answer is kept by itself, so that two windows do not overwrite each other's; one that both send is written once.
function kept() {
  return Object.keys(localStorage).filter((name) => name.startsWith(store))
    .map((name) => JSON.parse(localStorage.getItem(name))).sort((a, b) => a.at - b.at);
}
function keep(answer) { localStorage.setItem(store + answer.id, JSON.stringify(answer)); }
function drop(answer) {
  waiting = waiting.filter((each) => each !== answer);
  localStorage.removeItem(store + answer.id);
}
function named() { return crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`; }
function say(words) { unsaved.textContent = words; }
function signIn() {
  return waiting.length ? `Sign in again: ${waiting.length} of your answers are kept here and sent then.` : "Sign in again.";
}
function count(fresh) { if (fresh) document.getElementById("counts").replaceWith(document.adoptNode(fresh.cloneNode(true))); }
function tell(counts) {
  for (const [verdict, number] of Object.entries(counts || {})) {
    const shown = document.querySelector(`[data-count="${verdict}"]`);
    if (shown) shown.textContent = number.toLocaleString("en-US");
  }
}

function answer(fields) {
  const given = { id: named(), at: Date.now(), fields, name: find("h1").textContent };
  waiting.push(given);
  keep(given);
  decided.add(new URLSearchParams(fields).get("job"));
  send();
}

function send() {
  sending ??= (async () => {
    for (let tries = 0; waiting.length;) {
      const [first] = waiting;
      try {
        const known = form;
        const got = await post(new URLSearchParams(first.fields), AbortSignal.timeout(PATIENCE));
        if (got.redirected || got.status === 401) { say(signIn()); return; }
        if (got.status === 403 && await renewed(known)) continue;
        if (got.status >= 500 || got.status === 429) throw new Error(String(got.status));
        const said = got.headers.get("content-type")?.includes("json") ? await got.json() : { error: await got.text() };
        if (got.status === 409) await ask(first, said);
        else {
          drop(first);
          if (got.ok) await written(said);
          else { say(`${first.name}: not written: ${said.error}`); tries = 0; continue; }
        }
        tries = 0;
        say("");
      } catch (error) {
        if (error.signIn) { say(signIn()); return; }
        say(`${waiting.length} ${waiting.length === 1 ? "answer is" : "answers are"} not written yet; trying again …`);
        await new Promise((done) => setTimeout(done, AGAIN[Math.min(tries, AGAIN.length - 1)]));
        tries += 1;
      }
    }
  })().finally(() => { sending = null; });
  return sending;
}

// Whether forms are known by something else now: whoever signs in anew is given another one. A page that was loaded
// meanwhile may have said it already.
async function renewed(before) {
  if (form !== before) return true;
  const { job } = loupe().dataset;
  await load(walked(job ? { job, ahead: 1 } : { ahead: 1 }));
  return form !== before;
}

// A page that shows what was decided now, because it was loaded before, must not say otherwise.
async function written(said) {
  tell(said.counts);
  pages.delete(said.job);
  if (loupe().dataset.job !== said.job) return;
  const page = await load(walked({ job: said.job, ahead: 1 }));
  if (loupe().dataset.job !== said.job) return; // another one is shown by now
  if (find(".reasons.is-open")) {
    const based = find(`form.judge [name=result][value="${said.result}"] ~ [name=based_on]`);
    if (based) based.value = said.verdict_id;
    return;
  }
  const redoing = find(".redoing-asked[open]"); // what the person has opened stays open
  put(page, { push: false });
  if (redoing) askRedo(true);
}

function ask(first, said) {
  asked.querySelector("[data-said]").textContent = `${first.name}: ${said.error}. Nothing of yours was written.`;
  asked.showModal();
  return new Promise((done) => {
    asked.onclick = (event) => {
      if (!event.target.value) return;
      asked.onclick = null;
      asked.close();
      if (event.target.value === "mine") {
        const fields = new URLSearchParams(first.fields);
        fields.set("based_on", said.verdict_id);
        fields.set("request", named());
        first.fields = fields.toString();
        keep(first);
      } else drop(first);
      done();
    };
    asked.oncancel = (event) => event.preventDefault(); // one of the two is chosen
  });
}

function judge(verdict) {
  const form = find("form.judge");
  if (!form) return;
  const fields = new URLSearchParams(new FormData(form));
  fields.set("verdict", verdict);
  if (verdict === "approved") { fields.delete("reason"); fields.delete("note"); fields.delete("area"); }
  fields.set("request", named());
  const [after, { at }] = [near("after"), loupe().dataset];
  offer(`${verdict === "approved" ? "✓ Approved" : "✕ Needs work"}: ${find("h1").textContent}`);
  answer(fields.toString());
  goOn(after, at);
}

// Says what was decided, and offers to take it back for a while.
function offer(words) {
  const last = document.getElementById("last");
  clearTimeout(offered);
  last.hidden = !words;
  if (!words) return;
  last.querySelector("span").textContent = words;
  offered = setTimeout(() => offer(null), UNDO);
}

async function undo() {
  if (!loupe().dataset.judges) return;
  offer(null);
  const last = waiting.length > 1 ? waiting.at(-1) : null; // not sent yet: it is enough to forget it
  if (last) { drop(last); const job = new URLSearchParams(last.fields).get("job"); decided.delete(job); await show(job); return; }
  await sending;
  await act({ do: "undo" });
}

async function choose() {
  const form = find("form.choose");
  if (form) await act(Object.fromEntries(new FormData(form)));
}

// Opens what says the price; a second key, or the button, agrees to it.
function askRedo(open) {
  const asked = find(".redoing-asked");
  if (!asked) return;
  asked.open = open;
  if (open) asked.querySelector("form button").focus({ preventScroll: true });
  else find(".stage")?.focus({ preventScroll: true });
}

async function redo() {
  const form = find("form.redo");
  if (form) await act(Object.fromEntries(new FormData(form)));
}

async function act(fields) {
  await busily(async () => {
    const got = await post(new URLSearchParams(fields));
    if (got.redirected || got.status === 401) throw Object.assign(new Error(), { signIn: true });
    const said = got.headers.get("content-type")?.includes("json") ? await got.json() : { error: await got.text() };
    say(got.ok ? "" : said.error);
    if (!got.ok) return;
    tell(said.counts);
    decided.delete(said.job);
    pages.delete(said.job);
    await show(said.job);
  });
}

// --- Fingers ---------------------------------------------------------------------------------------------------------

const WAYS = {
  right: { words: "✓ Approve", can: () => find("form.judge"), go: () => judge("approved") },
  left: { words: "✕ Needs work", can: () => find("form.judge"), go: () => reasons(true) },
  up: { words: "Next", can: () => near("after").length, go: () => step("after") },
  down: { words: "Previous", can: () => near("before").length, go: () => step("before") },
};
gestures = {
  can: (way) => !find(".reasons.is-open") && WAYS[way].can(),
  go: (way) => WAYS[way].go(),
  tell(found) {
    let shown = find(".swiping");
    if (!found) { shown?.remove(); return; }
    if (!shown) {
      shown = document.createElement("p");
      shown.append(document.createElement("span"));
      stage().append(shown);
    }
    shown.className = `swiping is-${found.name}${found.sure ? " is-sure" : ""}`;
    shown.firstChild.textContent = WAYS[found.name].words;
  },
};

// --- Keys and buttons ------------------------------------------------------------------------------------------------

function reasons(open) {
  const list = find(".reasons");
  if (!list) return;
  list.classList.toggle("is-open", open);
  find(".hint").hidden = !open;
  if (open) list.querySelector("input").focus({ preventScroll: true });
  else find(".stage")?.focus({ preventScroll: true });
}

function inReasons(event) {
  if (event.target.closest("#find")) return false; // a key is typed there
  if (event.key === "Enter" && event.target.closest("button, a, summary")) return false; // which it presses
  if (event.key === "Escape") reasons(false);
  else if (event.key === "Enter") judge("needs_work");
  else if (event.target.name === "note") return false;
  else {
    const one = find(`.reasons [data-key="${CSS.escape(event.key)}"]`);
    if (!one) return false;
    one.checked = true;
    judge("needs_work");
  }
  return true;
}

const ACTIONS = {
  a: () => judge("approved"),
  w: () => reasons(true),
  u: undo,
  c: choose,
  r: () => askRedo(true),
  ArrowLeft: () => step("before"),
  ArrowRight: () => step("after"),
  ArrowUp: () => other(-1),
  ArrowDown: () => other(1),
  z: TOOLS.zoom,
  m: TOOLS.mark,
  s: TOOLS.beside,
  v: TOOLS.versions,
  i: () => { const facts = find(".facts-drawer"); if (facts) facts.open = !facts.open; },
  "/": () => document.querySelector("#find [name=jump]")?.focus(),
  f: () => (document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen()),
  "?": () => keys.showModal(),
  " ": () => split(100),
};

function other(by) {
  const all = [...loupe().querySelectorAll(".strip a")];
  const now = all.findIndex((each) => each.hasAttribute("aria-current"));
  const to = all[(now + by + all.length) % all.length];
  if (to) picture(to.dataset.picture);
}

async function picture(id) {
  const { job } = loupe().dataset;
  const page = await busily(() => load(walked({ job, picture: id, ahead: 1 })));
  if (page && loupe().dataset.job === job) put(page, { push: false });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (find(".reasons.is-open")) { if (inReasons(event)) event.preventDefault(); return; }
  if (event.key === "Escape" && find(".redoing-asked[open]")) { askRedo(false); return; }
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "Escape" && typing?.form?.id === "find") { find(".stage")?.focus(); return; }
  if (typing && !(typing.type === "range" && event.key.length === 1)) return;
  if (event.key === " " && event.target.closest("button, a, summary")) return; // which it presses
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  if (!event.repeat || event.key.startsWith("Arrow")) action();
});
document.addEventListener("keyup", (event) => { if (event.key === " " && find(".slider")) split(50); });

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.closest("#loupe")) return;
  event.preventDefault();
  if (form.className === "judge") {
    const verdict = event.submitter?.value;
    if (verdict === "needs_work" && !find(".reasons.is-open")) reasons(true);
    else judge(verdict || "needs_work");
  } else if (form.className === "undo") undo();
  else if (form.classList.contains("redo")) redo();
  else choose();
});

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.metaKey || event.ctrlKey || event.shiftKey) return;
  const order = event.target.closest("#orders a");
  if (order && loupe().dataset.job) { // of the picture that is shown by now
    const query = new URLSearchParams(order.search);
    query.set("job", loupe().dataset.job);
    order.search = query;
    return;
  }
  const link = event.target.closest("a.step, .strip a, .pane a");
  if (!link) return;
  event.preventDefault();
  if (link.dataset.picture) picture(link.dataset.picture);
  else step(link.rel === "next" ? "after" : "before");
});
document.querySelector("#last button").addEventListener("click", undo);
document.getElementById("find")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = event.target.elements.jump;
  const page = await busily(() => load(walked({ jump: field.value })));
  if (!page) return;
  field.value = "";
  say("");
  put(page);
});
keys.addEventListener("click", (event) => { if (event.target.value === "close") keys.close(); });

// What the job's own page says, shown beside the picture.
async function facts() {
  const drawer = find(".facts-drawer");
  wantsFacts = drawer.open;
  const { job, page } = loupe().dataset;
  if (!drawer.open || drawer.dataset.of === job) return;
  drawer.dataset.of = job;
  try {
    const answer = await fetch(page, { headers: { Accept: "text/html" }, redirect: "manual" });
    if (!answer.ok) return; // what the drawer has and its link stay
    const all = new DOMParser().parseFromString(await answer.text(), "text/html").querySelectorAll("[data-facts]");
    drawer.querySelector(".drawer").replaceChildren(...[...all].map((part) => document.adoptNode(part)), drawer.querySelector(".all-of-it"));
  } catch { delete drawer.dataset.of; }
}

function begin() {
  beginStage();
  find("figure.stage")?.focus({ preventScroll: true });
  const drawer = find(".facts-drawer");
  if (drawer) { drawer.addEventListener("toggle", facts); drawer.open = wantsFacts; }
  const swipes = find(".swipes");
  if (swipes) swipes.hidden = !matchMedia("(pointer: coarse)").matches;
  preload();
  root.dataset.shown = loupe().dataset.job || "nothing";
}

addEventListener("popstate", (event) => { if (event.state?.job) show(event.state.job, { push: false }); });
addEventListener("online", send);
addEventListener("focus", send); // as after signing in again in another window
setInterval(() => { if (!document.hidden) take(); }, STILL);

root.classList.add("live-desk");
history.replaceState({ job: loupe().dataset.job }, "");
begin();
// What was decided before this page was loaded is not decided again: it goes on to what is left.
for (const each of waiting) decided.add(new URLSearchParams(each.fields).get("job"));
send().then(() => {
  const { job, at } = loupe().dataset;
  if (decided.has(job) && !new URLSearchParams(location.search).has("job")) next(at);
});
