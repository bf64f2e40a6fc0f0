// The page's live parts: asked for again with the version that is shown, and replaced where they differ.
// Without this script all pages can be read and all forms be sent; what is shown is then of one moment.

const LOOKED_AT = 2_000; // milliseconds between two looks, while somebody looks at the page
const IN_BACKGROUND = 15_000;
const LONGEST_PAUSE = 15_000; // while the server does not answer
const STALE_AFTER = 2; // failures in a row before the page says so

const AWAY = "away"; // the version of a page that tells that there is nothing to tell
const STILL = "schedcore-still"; // where this browser keeps that nothing is to be asked for again

const offline = document.getElementById("offline");
let version = document.body.dataset.version;
let ahead = 0; // milliseconds by which the server's clock is ahead of this computer's
let lastAnswer = Date.now();
let failures = 0;
let timer = 0;

const serverNow = () => Date.now() + ahead;

function setClock(millis) {
  if (Number(millis) > 0) ahead = Number(millis) - Date.now();
}

// Times

function inWords(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${Math.floor((whole % 3_600) / 60)} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`;
}

function showTimes() {
  const now = serverNow();
  for (const time of document.querySelectorAll("time[data-at]")) {
    const away = (Number(time.dataset.at) - now) / 1_000;
    time.dataset.away = away >= -0.5 ? `in ${inWords(away)}` : `${inWords(-away)} ago`;
  }
  for (const since of document.querySelectorAll("[data-since]")) {
    since.textContent = inWords((now - Number(since.dataset.since)) / 1_000);
  }
}

function offerOwnZone() {
  const select = document.getElementById("zone");
  if (!select) return;
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (own && ![...select.options].some((option) => option.value === own)) {
    select.add(new Option(`${own} (yours)`, own));
  }
  select.addEventListener("change", () => select.form.requestSubmit());
  select.form.querySelector("button").hidden = true;
}

function offerTicks() {
  const form = document.getElementById("bulk");
  if (!form) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = "Tick all that are shown";
  button.addEventListener("click", () => {
    const boxes = [...document.querySelectorAll('input[form="bulk"][type="checkbox"]')];
    const tick = boxes.some((box) => !box.checked);
    for (const box of boxes) box.checked = tick;
    form.querySelector('input[value="chosen"]').checked = true;
  });
  form.querySelector("label").after(button);
}

function offerStandstill() {
  const place = document.querySelector(".who");
  if (!place || !isLive()) return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = "Live";
  button.title = "Whether this page asks by itself for what has happened";
  const show = () => button.setAttribute("aria-pressed", String(!isStill()));
  button.addEventListener("click", () => {
    localStorage.setItem(STILL, isStill() ? "" : "1");
    show();
    look();
  });
  show();
  place.prepend(button);
}

// Live parts

function isInUse(part) {
  const focused = document.activeElement;
  if (focused && focused !== part && part.contains(focused) && focused.matches("input, select, textarea, button")) {
    return true;
  }
  const selection = document.getSelection();
  return !!selection && !selection.isCollapsed && part.contains(selection.anchorNode);
}

function plain(part) { // what differs by what the script or the user has done is no difference
  const copy = part.cloneNode(true);
  for (const each of copy.querySelectorAll("[data-away]")) each.removeAttribute("data-away");
  for (const each of copy.querySelectorAll("[data-since]")) each.textContent = "";
  for (const each of copy.querySelectorAll("input[name=key]")) each.removeAttribute("value");
  for (const each of copy.querySelectorAll("details[open]")) each.removeAttribute("open");
  return copy.innerHTML;
}

function keepState(from, to) {
  for (const open of from.querySelectorAll("details[open][id]")) {
    const same = to.querySelector(`#${CSS.escape(open.id)}`);
    if (same) same.open = true;
  }
  for (const box of from.querySelectorAll("input[type=checkbox]:checked")) {
    for (const same of to.querySelectorAll("input[type=checkbox]")) {
      if (same.value === box.value) same.checked = true;
    }
  }
}

function keepScroll(from, to) {
  const before = from.querySelectorAll(".scroll, .output");
  const after = to.querySelectorAll(".scroll, .output");
  before.forEach((each, place) => {
    if (!after[place]) return;
    const atEnd = each.scrollTop + each.clientHeight >= each.scrollHeight - 4 && each.scrollHeight > each.clientHeight;
    after[place].scrollLeft = each.scrollLeft;
    after[place].scrollTop = atEnd ? after[place].scrollHeight : each.scrollTop;
  });
}

function focusAgain(part, href) {
  if (!href) return;
  const same = [...part.querySelectorAll("a")].find((link) => link.getAttribute("href") === href);
  if (same) same.focus({ preventScroll: true });
}

function take(page) {
  let all = true;
  document.title = page.title;
  for (const fresh of page.querySelectorAll("[data-live]")) {
    const part = document.getElementById(fresh.id);
    if (!part || plain(part) === plain(fresh)) continue;
    if (isInUse(part)) {
      all = false;
      continue;
    }
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    const fitting = document.importNode(fresh, true);
    keepState(part, fitting);
    const old = part;
    part.replaceWith(fitting);
    keepScroll(old, fitting);
    focusAgain(fitting, focused);
  }
  return all;
}

async function look() {
  const headers = { "X-Live": "1" };
  if (version) headers["If-None-Match"] = `"${version}"`;
  try {
    const answer = await fetch(location.href, {
      headers, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(10_000),
    });
    if (answer.status === 401) return stop("You are signed out: load the page again to sign in.");
    if (answer.status === 404) return stop("What this page shows is gone.");
    if (!answer.ok && answer.status !== 304) throw new Error(`status ${answer.status}`);
    if (document.body.dataset.version === AWAY) return location.reload();
    setClock(answer.headers.get("X-Now"));
    if (answer.status !== 304) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      setClock(page.body.dataset.now);
      const fresh = page.body.dataset.version;
      const all = take(page);
      version = all ? fresh : "";
      if (all) document.body.dataset.version = fresh; // none, once nothing changes any more
      showTimes();
    }
    lastAnswer = Date.now();
    failures = 0;
    offline.hidden = true;
  } catch {
    failures += 1;
  }
  tellStale();
  return plan();
}

function tellStale() {
  if (failures < STALE_AFTER) return;
  offline.textContent = `No answer: last heard ${inWords((Date.now() - lastAnswer) / 1_000)} ago`;
  offline.hidden = false;
}

function stop(text) {
  clearTimeout(timer);
  offline.textContent = text;
  offline.hidden = false;
}

function isLive() {
  return document.body.dataset.version !== "";
}

function isStill() {
  return localStorage.getItem(STILL) === "1";
}

function plan() {
  clearTimeout(timer);
  if (!isLive() || isStill()) return;
  const pause = document.hidden ? IN_BACKGROUND : LOOKED_AT;
  timer = setTimeout(look, Math.min(pause * 2 ** failures, LONGEST_PAUSE));
}

setClock(document.body.dataset.now);
offerOwnZone();
offerTicks();
offerStandstill();
showTimes();
setInterval(() => { showTimes(); tellStale(); }, 1_000);
document.addEventListener("visibilitychange", () => (document.hidden || !isLive() || isStill() ? plan() : look()));
if (offline && isLive()) plan();
