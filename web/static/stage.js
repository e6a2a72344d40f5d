// A picture over the one it was made of, or both side by side, or its versions; zoom and pan in step; marks; gestures.
"use strict";

const PANES = 4; // versions side by side: more are too small to judge
const SWIPE = { px: 90, share: 0.28, most: 160, slope: 2 }; // a swipe is as long as that, and that much more along than across
const STILL_PX = 10; // a finger that rests moves less
const HOLD = 350; // milliseconds after which a resting finger shows the picture before
const TWICE = 300; // milliseconds between two taps that are one double tap

let view = { zoom: false, x: 0, y: 0, marking: false, area: null }; // `area`: what is marked, or what a verdict marked
let layout = "over"; // or "beside", or "versions": stays from one picture to the next
let gestures = null; // what swipes do: { can(way), tell(way, sure), go(way) }
let tapped = 0;

function stage() { return document.querySelector("figure.stage"); }
function inStage(selector) { return stage()?.querySelector(selector) ?? null; }
function panes() { return [...stage().querySelectorAll(".pane")].filter((pane) => pane.offsetWidth); }

function split(percent) {
  stage()?.style.setProperty("--split", `${percent}%`);
  const slider = inStage(".slider");
  if (slider) slider.value = percent;
}

// Where the result lies in its pane, in pixels. All panes have one size.
function box() {
  const [pane] = panes();
  const after = pane.querySelector(".after") ?? inStage(".after");
  const [width, height] = [Number(after.getAttribute("width")), Number(after.getAttribute("height"))];
  const scale = Math.min(pane.clientWidth / width, pane.clientHeight / height);
  return { scale, width: width * scale, height: height * scale,
    left: (pane.clientWidth - width * scale) / 2, top: (pane.clientHeight - height * scale) / 2 };
}

function factor() {
  const pixels = 1 / (box().scale * devicePixelRatio);
  return pixels > 1.01 ? pixels : 2;
}

function move() {
  const way = view.zoom ? `translate(${view.x}px, ${view.y}px) scale(${factor()})` : "";
  for (const canvas of stage().querySelectorAll(".canvas")) canvas.style.transform = way;
  stage().classList.toggle("is-zoomed", view.zoom);
  press("zoom", view.zoom);
}

// Pixels are those of the file itself: it is loaded when somebody wants to see them.
function sharpen() {
  for (const image of stage().querySelectorAll("img[data-full]")) {
    const full = new Image();
    full.onload = () => { image.src = full.src; };
    full.src = image.dataset.full;
    delete image.dataset.full;
  }
}

function zoom(at) {
  if (!inStage(".after")) return;
  view.zoom = !view.zoom;
  const pane = panes()[0];
  const [x, y] = at ?? [pane.clientWidth / 2, pane.clientHeight / 2];
  view.x = x * (1 - factor());
  view.y = y * (1 - factor());
  if (view.zoom) sharpen();
  move();
}

function lay(wanted) {
  const shown = stage();
  if (!shown) return;
  const versions = document.querySelectorAll(".strip a").length > 1;
  const possible = wanted === "over" || (wanted === "beside" ? inStage(".is-before") : versions);
  const now = possible ? wanted : "over";
  if (now === "versions" && !inStage(".is-version")) shown.append(...[...document.querySelectorAll(".strip a")].slice(0, PANES).map(version));
  for (const name of ["over", "beside", "versions"]) shown.classList.toggle(`is-${name}`, name === now);
  for (const name of ["beside", "versions"]) press(name, name === now);
  if (view.zoom) zoom();
  draw(view.area);
}

function toggle(wanted) { layout = layout === wanted ? "over" : wanted; lay(layout); }

function version(link) {
  const pane = document.createElement("div");
  pane.className = "pane is-version";
  const canvas = document.createElement("div");
  canvas.className = "canvas";
  const image = Object.assign(new Image(link.dataset.width, link.dataset.height),
    { className: "after", src: link.dataset.large, alt: link.getAttribute("aria-label"), draggable: false });
  image.dataset.full = link.dataset.full;
  canvas.append(image);
  const name = document.createElement("a");
  Object.assign(name, { className: "tag", href: link.href, textContent: link.getAttribute("aria-label") });
  name.dataset.picture = link.dataset.picture;
  if (link.hasAttribute("aria-current")) name.setAttribute("aria-current", "true");
  pane.append(canvas, name);
  return pane;
}

function press(tool, on) { document.querySelector(`[data-tool=${tool}]`)?.setAttribute("aria-pressed", String(on)); }

function marking(on) {
  view.marking = on;
  stage()?.classList.toggle("is-marking", on);
  press("mark", on);
}

function draw(area) {
  const mark = inStage(".is-after .mark");
  if (!mark) return;
  mark.hidden = !area || layout === "versions";
  if (mark.hidden) return;
  const at = box();
  const [x, y, width, height] = area;
  Object.assign(mark.style, { left: `${at.left + x * at.width}px`, top: `${at.top + y * at.height}px`,
    width: `${width * at.width}px`, height: `${height * at.height}px` });
}

// Marks an area that goes along with a verdict.
function mark(area) {
  view.area = area;
  draw(area);
  const field = document.querySelector("form.judge [name=area]");
  if (field) field.value = area ? area.join(",") : "";
}

function paneAt(event) { return event.target.closest(".pane") ?? panes()[0]; }

function fraction(event, pane) {
  const canvas = pane.querySelector(".canvas").getBoundingClientRect();
  const grown = canvas.width / pane.clientWidth;
  const at = box();
  const clamp = (value) => Math.min(1, Math.max(0, value));
  return [clamp(((event.clientX - canvas.left) / grown - at.left) / at.width),
    clamp(((event.clientY - canvas.top) / grown - at.top) / at.height)];
}

// Which way a finger went, and whether it went far enough; null where it is not clear.
function way(x, y) {
  const [along, across] = Math.abs(x) > Math.abs(y) ? [Math.abs(x), Math.abs(y)] : [Math.abs(y), Math.abs(x)];
  if (along < STILL_PX || along < SWIPE.slope * across) return null;
  const enough = Math.max(SWIPE.px, Math.min(SWIPE.most, SWIPE.share * stage().clientWidth));
  const name = Math.abs(x) > Math.abs(y) ? (x > 0 ? "right" : "left") : (y > 0 ? "down" : "up");
  return { name, sure: along >= enough };
}

function drag(event) {
  if (event.button !== 0 || event.target.closest(".slider, a, button")) return;
  const shown = stage();
  if (shown.dataset.fingers) { shown.dataset.fingers = "2"; gestures?.tell(null); return; } // a second finger: no swipe
  shown.dataset.fingers = "1";
  const pane = paneAt(event);
  const began = { x: event.clientX, y: event.clientY, at: Date.now(), from: fraction(event, pane), view: { ...view } };
  const marks = view.marking || event.shiftKey;
  const swipes = gestures && event.pointerType === "touch" && !marks && !view.zoom;
  let shows = false;
  const held = swipes && setTimeout(() => { shows = true; split(100); }, HOLD);
  const went = (now) => [now.clientX - began.x, now.clientY - began.y];
  shown.setPointerCapture(event.pointerId);
  const over = new AbortController(); // of what is heard of this gesture: the next one begins anew
  const moved = (now) => {
    const [x, y] = went(now);
    if (marks) mark(area(began.from, fraction(now, pane)));
    else if (view.zoom) { view.x = began.view.x + x; view.y = began.view.y + y; move(); }
    else if (swipes) {
      if (Math.hypot(x, y) > STILL_PX) clearTimeout(held);
      const found = shown.dataset.fingers === "1" ? way(x, y) : null;
      gestures.tell(found && gestures.can(found.name) ? found : null);
    } else if (inStage(".before") && layout === "over") {
      const { left, width } = shown.getBoundingClientRect();
      split(Math.round(Math.min(100, Math.max(0, (now.clientX - left) / width * 100))));
    }
  };
  const ended = (now) => {
    over.abort();
    const [x, y] = went(now);
    const single = shown.dataset.fingers === "1";
    delete shown.dataset.fingers;
    clearTimeout(held);
    if (marks) marking(false);
    if (event.pointerType === "touch" && Math.hypot(x, y) < STILL_PX) tap(now, pane);
    if (!swipes) return;
    if (shows) split(50);
    gestures.tell(null);
    const found = single && !shows && now.type === "pointerup" ? way(x, y) : null;
    if (found?.sure && gestures.can(found.name)) gestures.go(found.name);
  };
  shown.addEventListener("pointermove", moved, { signal: over.signal });
  for (const end of ["pointerup", "pointercancel"]) shown.addEventListener(end, ended, { signal: over.signal });
}

function area(from, to) {
  return [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.abs(to[0] - from[0]), Math.abs(to[1] - from[1])]
    .map((side) => Math.round(side * 10000) / 10000);
}

function tap(event, pane) {
  const twice = event.timeStamp - tapped < TWICE;
  tapped = twice ? 0 : event.timeStamp;
  const { left, top } = pane.getBoundingClientRect();
  if (twice) zoom([event.clientX - left, event.clientY - top]);
}

const TOOLS = { beside: () => toggle("beside"), versions: () => toggle("versions"), zoom: () => zoom(), mark: () => marking(!view.marking) };

document.addEventListener("click", (event) => {
  const tool = event.target.closest("[data-tool]");
  if (tool) TOOLS[tool.dataset.tool]();
});
addEventListener("resize", () => { if (inStage(".after")) { move(); draw(view.area); } });

function beginStage() {
  view = { zoom: false, x: 0, y: 0, marking: false, area: null };
  for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;
  const shown = stage();
  if (!shown) return;
  const slider = inStage(".slider");
  if (slider) { slider.hidden = false; slider.oninput = () => split(slider.value); }
  shown.onpointerdown = drag;
  for (const image of shown.querySelectorAll("img")) image.draggable = false;
  const known = JSON.parse(shown.dataset.area || "null");
  if (known) view.area = [known.x, known.y, known.width, known.height];
  lay(layout);
}

document.documentElement.classList.add("live-stage");
beginStage();
